//! Where the processes of a stack write to. A folder goes with its stack; that of a stack whose owner was
//! killed goes when the next one is made.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::StackError;
use crate::subject::owner::{Owner, is_leftover};

/// There in a folder that somebody was told to look into.
const KEPT: &str = "kept";

/// A temporary folder that only its owner can look into.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    /// Says that the owner lives to who cannot see its process, as from another container.
    _lock: File,
}

impl Folder {
    /// Makes one; `purpose` is in its name. What the dead left is removed first.
    pub(super) fn make(purpose: &str) -> Result<Self, StackError> {
        let parent = std::env::temp_dir();
        remove_leftovers(&parent);
        Self::make_in(&parent, &Owner::new().name(purpose))
            .map_err(StackError::system("making a temporary folder"))
    }

    fn make_in(parent: &Path, name: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let lock = File::open(folder.path())?;
        // Where files cannot be locked, the name is all there is.
        let _ = lock.lock_shared();
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves it to whoever wants to look, for good.
    pub(super) fn keep(self) -> PathBuf {
        let path = self.folder.keep();
        // Without the mark it is there until the next stack is made.
        let _ = fs::write(path.join(KEPT), "");
        path
    }
}

/// What cannot be removed, as another user's, stays.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if is_folder
            && entry.file_name().to_str().is_some_and(is_leftover)
            && !path.join(KEPT).exists()
            && File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok())
        {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// No process has this id.
    const DEAD: &str = "statewise-of-4294967295-5-0-logs";

    #[test]
    fn what_the_dead_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        let make = |name: &str| Folder::make_in(parent, name).unwrap();
        let left = make(DEAD).folder.keep();
        fs::write(left.join("redis.log"), "text").unwrap();
        let living = make(&Owner::new().name("logs"));
        // Its process cannot be seen from here, and it holds its lock.
        let elsewhere = make(DEAD);
        let kept = make(DEAD).keep();
        let others = parent.join("statewise-2026-11-28");
        fs::create_dir(&others).unwrap();
        let link = parent.join(format!("{DEAD}-link"));
        symlink(&others, &link).unwrap();

        remove_leftovers(parent);
        assert!(!left.exists());
        for there in [living.path(), elsewhere.path(), &kept, &others, &link] {
            assert!(there.exists(), "{}", there.display());
        }
        // The owner has ended, and its folder did not go with it.
        let ended = elsewhere.folder.keep();
        drop(elsewhere._lock);
        remove_leftovers(parent);
        assert!(!ended.exists());
    }

    #[test]
    fn only_its_owner_can_look_into_a_folder() {
        let folder = Folder::make("logs").unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists(), "it goes with its owner");
    }
}

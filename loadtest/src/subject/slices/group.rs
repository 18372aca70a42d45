//! One control group, as a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{CpuLimit, Throttling, Version};
use crate::subject::owner;

const PROCESSES: &str = "cgroup.procs";
/// In version 2: which controllers the groups below have.
const CONTROLLERS_BELOW: &str = "cgroup.subtree_control";
/// A process that was killed leaves its group a moment later.
const PATIENCE: Duration = Duration::from_secs(2);

/// A control group with a CPU limit.
#[derive(Debug)]
pub(super) struct Group {
    version: Version,
    folder: PathBuf,
    /// The group that its processes go to when it is removed.
    origin: PathBuf,
}

impl Group {
    /// Makes it, without a limit.
    pub(super) fn make(version: Version, folder: PathBuf, origin: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder).map_err(at(&folder))?;
        Ok(Self {
            version,
            folder,
            origin,
        })
    }

    /// One that somebody else makes and removes.
    pub(super) fn found(version: Version, folder: PathBuf) -> Self {
        Self {
            version,
            origin: folder.clone(),
            folder,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Sets the limit of all its processes together.
    pub(super) fn set(&self, limit: CpuLimit) -> io::Result<()> {
        let (quota, period) = (limit.quota().as_micros(), limit.period().as_micros());
        let burst = match self.version {
            Version::Two => {
                self.write("cpu.max", &format!("{quota} {period}"))?;
                "cpu.max.burst"
            }
            Version::One => {
                // No quota first: a quota that is longer than the period would be refused.
                self.write("cpu.cfs_quota_us", "-1")?;
                self.write("cpu.cfs_period_us", &period.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())?;
                "cpu.cfs_burst_us"
            }
        };
        // Kernels before 5.14 have no bursts.
        match self.folder.join(burst).exists() {
            true => self.write(burst, "0"),
            false => Ok(()),
        }
    }

    /// Moves a process with all its threads into it.
    pub(super) fn take(&self, pid: u32) -> io::Result<()> {
        self.write(PROCESSES, &pid.to_string())
    }

    pub(super) fn throttling(&self) -> io::Result<Throttling> {
        fs::read_to_string(self.folder.join("cpu.stat")).map(|stat| Throttling::parse(&stat))
    }

    /// Lets its processes go to where they came from, and removes it. What is left when that fails is
    /// removed by the next who prepares slices.
    pub(super) fn remove(self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let inside = fs::read_to_string(self.folder.join(PROCESSES)).unwrap_or_default();
            // 0 stands for a process that cannot be seen from here.
            for pid in inside.lines().filter(|pid| *pid != "0") {
                // It may have ended.
                let _ = write(&self.origin.join(PROCESSES), pid);
            }
            match fs::remove_dir(&self.folder) {
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        write(&self.folder.join(file), text)
    }
}

/// Lets groups below `parent` have limits of CPU time.
pub(super) fn enable(version: Version, parent: &Path) -> io::Result<()> {
    if version == Version::One {
        return Ok(());
    }
    let below = parent.join(CONTROLLERS_BELOW);
    let enabled = fs::read_to_string(&below).map_err(at(&below))?;
    if enabled.split_whitespace().any(|name| name == "cpu") {
        return Ok(());
    }
    write(&below, "+cpu")
}

/// Removes groups below `parent` whose owners were killed.
pub(super) fn remove_leftovers(version: Version, parent: &Path, origin: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(owner::is_leftover) {
            let group = Group {
                version,
                folder: entry.path(),
                origin: origin.to_owned(),
            };
            group.remove();
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // Not made: what is no control file must not become one.
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).open(path);
    file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(at(path))
}

/// Says where as well.
fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files that the kernel makes in a group.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn read(folder: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(folder.path().join(file)).unwrap()
    }

    #[test]
    fn version_2_is_given_quota_and_period_in_one_line() {
        let folder = folder(&["cpu.max", "cpu.max.burst"]);
        let group = Group::found(Version::Two, folder.path().to_owned());
        group.set(CpuLimit::of(0.05).unwrap()).unwrap();
        assert_eq!(read(&folder, "cpu.max"), "2000 40000");
        assert_eq!(read(&folder, "cpu.max.burst"), "0");
    }

    #[test]
    fn a_kernel_without_bursts_is_as_good() {
        let folder = folder(&["cpu.max"]);
        let group = Group::found(Version::Two, folder.path().to_owned());
        group.set(CpuLimit::of(0.01).unwrap()).unwrap();
        assert_eq!(read(&folder, "cpu.max"), "2000 200000");
        assert!(!folder.path().join("cpu.max.burst").exists());
    }

    #[test]
    fn a_file_that_the_kernel_did_not_make_is_not_made_and_is_named() {
        let folder = folder(&[]);
        let group = Group::found(Version::Two, folder.path().to_owned());
        let error = group.set(CpuLimit::of(0.05).unwrap()).unwrap_err();
        assert!(error.to_string().contains("cpu.max"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_controller_is_enabled_for_the_groups_below_unless_it_is_already() {
        let folder = folder(&[CONTROLLERS_BELOW]);
        enable(Version::Two, folder.path()).unwrap();
        assert_eq!(read(&folder, CONTROLLERS_BELOW), "+cpu");
        fs::write(folder.path().join(CONTROLLERS_BELOW), "memory cpu io\n").unwrap();
        enable(Version::Two, folder.path()).unwrap();
        assert_eq!(read(&folder, CONTROLLERS_BELOW), "memory cpu io\n");
    }
}

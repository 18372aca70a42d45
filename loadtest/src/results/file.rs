//! Where a result is written to: what was there stays until the new one is whole.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Less what the process's umask takes.
const USUAL_MODE: u32 = 0o666;

/// A file that can be written, as far as can be told before there is anything to write. Nothing is changed
/// until then.
#[derive(Debug)]
pub(crate) struct Destination {
    /// Behind all symbolic links.
    path: PathBuf,
    /// Those of the file that is replaced.
    permissions: Option<Permissions>,
    /// A pipe, a terminal, a device: it has nothing to keep, and is open, because whoever reads from
    /// a pipe would be told its end by a second opening.
    stream: Option<File>,
}

impl Destination {
    /// Tries whether `path` can be written: a file that is there, and the folder, in which the new one is made.
    ///
    /// # Errors
    ///
    /// It cannot.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let there = match fs::metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let write = || OpenOptions::new().write(true).open(path);
        let mut destination = Self {
            path: path.to_owned(),
            permissions: None,
            stream: None,
        };
        match there {
            None => {}
            Some(there) if there.is_file() => {
                write()?;
                destination.path = fs::canonicalize(path)?;
                destination.permissions = Some(there.permissions());
            }
            // Of a folder this is the error.
            Some(_) => {
                destination.stream = Some(write()?);
                return Ok(destination);
            }
        }
        // It is removed at once.
        match tempfile::tempfile_in(destination.folder()) {
            Err(error) if !destination.must_stay(&error) => Err(error),
            _ => Ok(destination),
        }
    }

    /// Writes the result, so that a reader sees the old one or the new one and never a part.
    ///
    /// # Errors
    ///
    /// It cannot be written; a file that was there is as it was.
    pub(crate) fn write(self, text: &str) -> io::Result<()> {
        if let Some(mut stream) = self.stream.as_ref() {
            return stream.write_all(text.as_bytes());
        }
        match self.replace(text) {
            Err(error) if self.must_stay(&error) => fs::write(&self.path, text),
            replaced => replaced,
        }
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(USUAL_MODE))
            .tempfile_in(self.folder())?;
        file.write_all(text.as_bytes())?;
        if let Some(permissions) = self.permissions.clone() {
            file.as_file().set_permissions(permissions)?;
        }
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Whether the file can be written and not be replaced, as one that was mounted into a container, or one in
    /// a folder of somebody else.
    fn must_stay(&self, error: &io::Error) -> bool {
        use ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};

        let kinds = [PermissionDenied, ReadOnlyFilesystem, ResourceBusy];
        self.permissions.is_some() && kinds.contains(&error.kind())
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

/// Writes a file so that a reader sees the old one or the new one and never a part.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    Destination::at(path)?.write(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_there_stays_until_the_new_one_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("a", &link).unwrap();
        let destination = Destination::at(&link).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(
            names(folder.path()),
            ["a", "link"],
            "nothing is left behind"
        );
        destination.write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(names(folder.path()), ["a", "link"]);
    }

    #[test]
    fn what_cannot_be_written_is_found_before() {
        let folder = tempfile::tempdir().unwrap();
        for none in [
            folder.path().to_owned(),
            folder.path().join("none/a"),
            "/proc/a".into(),
        ] {
            assert!(Destination::at(&none).is_err(), "{}", none.display());
        }
        let path = folder.path().join("a");
        Destination::at(&path).unwrap();
        assert_eq!(names(folder.path()), [] as [&str; 0], "it is only tried");
        write_whole(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let null = Path::new("/dev/null");
        write_whole(null, "text").unwrap();
        assert!(fs::metadata(null).unwrap().file_type().is_char_device());
    }
}

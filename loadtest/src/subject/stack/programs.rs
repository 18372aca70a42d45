//! Where the programs are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::StackError;

/// Our own programs.
pub(super) struct Programs {
    pub(super) auth: PathBuf,
    pub(super) api: PathBuf,
    pub(super) gateway: PathBuf,
}

impl Programs {
    pub(super) fn find(folder: Option<&Path>) -> Result<Self, StackError> {
        Ok(Self {
            auth: own("auth-service", folder)?,
            api: own("api-service", folder)?,
            gateway: own("gateway", folder)?,
        })
    }
}

/// Finds one of our own programs: in `folder` if given, else beside this executable (for a test:
/// one folder above it), else in PATH.
fn own(name: &'static str, folder: Option<&Path>) -> Result<PathBuf, StackError> {
    let folders = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => beside_this_executable()
            .into_iter()
            .chain(path_folders())
            .collect(),
    };
    first(&folders, name).ok_or_else(|| StackError::MissingProgram {
        name,
        looked_in: match folder {
            Some(folder) => folder.display().to_string(),
            None => beside_this_executable().first().map_or_else(
                || "PATH".to_owned(),
                |at| format!("{} and PATH", at.display()),
            ),
        },
    })
}

/// Finds a Redis or Valkey server in PATH.
pub(super) fn redis() -> Result<PathBuf, StackError> {
    let folders: Vec<PathBuf> = path_folders().collect();
    ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| first(&folders, name))
        .ok_or(StackError::MissingRedis)
}

/// Finds the folder with the server of PostgreSQL and its `initdb`: in PATH, else where Debian keeps each
/// version, the newest first, else where others do.
pub(super) fn postgres() -> Result<PathBuf, StackError> {
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
    {
        let version = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        versions.extend(version.map(|version| (version, entry.path().join("bin"))));
    }
    versions.sort_by(|one, other| other.cmp(one));
    let elsewhere = ["/usr/pgsql/bin", "/usr/local/pgsql/bin"].map(PathBuf::from);
    path_folders()
        .chain(versions.into_iter().map(|(_, folder)| folder))
        .chain(elsewhere)
        .find(|folder| {
            ["postgres", "initdb"]
                .iter()
                .all(|name| is_executable(&folder.join(name)))
        })
        .ok_or(StackError::MissingPostgres)
}

fn first(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn beside_this_executable() -> Vec<PathBuf> {
    let Ok(executable) = std::env::current_exe() else {
        return Vec::new();
    };
    let Some(folder) = executable.parent() else {
        return Vec::new();
    };
    let mut folders = vec![folder.to_owned()];
    // Cargo puts test executables into `deps` below the folder of the programs.
    if folder.file_name().is_some_and(|name| name == "deps")
        && let Some(above) = folder.parent()
    {
        folders.insert(0, above.to_owned());
    }
    folders
}

fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_folder_and_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let text = own("gateway", Some(folder.path())).unwrap_err().to_string();
        for part in [
            "gateway",
            &folder.path().display().to_string(),
            "cargo build --workspace --bins",
            "--bin-dir",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gateway"), "").unwrap();
        assert!(own("gateway", Some(folder.path())).is_err());
    }
}

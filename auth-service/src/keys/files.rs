//! Key files: PKCS#8 in PEM, readable by their owner only, written whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{Algorithm, pair::KeyPair};
use crate::random;

const PEM_TAG: &str = "PRIVATE KEY";
const OWNER_ONLY: u32 = 0o600;
/// Permission bits of the group and of everybody else.
const OTHERS: u32 = 0o077;
/// Taken while the folder is read and a first key is made, so that two services that start at the
/// same time make one.
const LOCK: &str = ".lock";

/// The keys cannot be used. Each says what to do; none holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder cannot be made, read or written.
    #[error(
        "the key folder {folder} cannot be used: {source}; \
         make it writable for this user or set AUTH_DATA_DIR"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("the key file {file} cannot be read: {source}; check its owner and permissions")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner have access.
    #[error("the key file {file} has mode {mode:04o}, open to others; run: chmod 600 {file}")]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key that can be used.
    #[error(
        "the key file {file} holds no usable key: {reason}; \
         restore it from a backup, or move it away and a new key is made"
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What was expected.
        reason: &'static str,
    },
    /// The files that were given hold no key that can sign.
    #[error(
        "no given key is of the algorithm {algorithm}; \
         add one to AUTH_SIGNING_KEY_FILES or change AUTH_ALGORITHM"
    )]
    NoneSigns {
        /// The configured algorithm.
        algorithm: &'static str,
    },
    /// No key could be made.
    #[error("no key could be made: the cryptographic library failed")]
    Generate,
    /// Our own key set is not one that a verifier takes.
    #[error("the key set cannot be published: {0}")]
    Unpublishable(String),
}

/// The keys of a folder, the newest first. Makes one when none is of the algorithm.
pub(super) fn read_or_make(
    folder: &Path,
    algorithm: Algorithm,
    now: u64,
) -> Result<Vec<KeyPair>, KeyError> {
    let unusable = |source| KeyError::Folder {
        folder: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(unusable)?;
    let lock = owner_only()
        .create(true)
        .truncate(false)
        .open(folder.join(LOCK))
        .map_err(unusable)?;
    // Released when the file is closed, also when this process dies.
    lock.lock().map_err(unusable)?;

    let mut files = pem_files(folder).map_err(unusable)?;
    // Names begin with the time they were made at.
    files.sort_unstable_by(|a, b| b.cmp(a));
    let mut keys = files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<_>, _>>()?;
    if !keys.iter().any(|key| key.algorithm() == algorithm) {
        let file = make(folder, algorithm, now)?;
        let key = read(&file)?;
        tracing::info!(file = %file.display(), kid = key.kid(), "made a signing key");
        keys.insert(0, key);
    }
    Ok(keys)
}

/// The keys of these files, in their order.
pub(super) fn read_given(
    files: &[PathBuf],
    algorithm: Algorithm,
) -> Result<Vec<KeyPair>, KeyError> {
    let keys = files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.iter().any(|key| key.algorithm() == algorithm) {
        Ok(keys)
    } else {
        Err(KeyError::NoneSigns {
            algorithm: algorithm.name(),
        })
    }
}

fn pem_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            files.push(path);
        }
    }
    Ok(files)
}

fn read(file: &Path) -> Result<KeyPair, KeyError> {
    let unreadable = |source| KeyError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let mut opened = File::open(file).map_err(unreadable)?;
    let mode = opened.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyError::Exposed {
            file: file.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    io::Read::read_to_end(&mut opened, &mut text).map_err(unreadable)?;
    let corrupt = |reason| KeyError::Corrupt {
        file: file.to_owned(),
        reason,
    };
    let pem = pem::parse(text).map_err(|_| corrupt("it is not PEM"))?;
    if pem.tag() != PEM_TAG {
        return Err(corrupt(
            "its PEM label is not PRIVATE KEY (unencrypted PKCS#8)",
        ));
    }
    KeyPair::from_pkcs8(pem.contents()).ok_or_else(|| {
        corrupt("it is not an RSA key of at least 2048 bits, a P-256 key or an Ed25519 key")
    })
}

/// Makes a key file: written beside its place, flushed, then renamed, so that a crash leaves
/// either no key or a whole one.
fn make(folder: &Path, algorithm: Algorithm, now: u64) -> Result<PathBuf, KeyError> {
    let der = KeyPair::generate(algorithm).map_err(|_| KeyError::Generate)?;
    let text = pem::encode(&pem::Pem::new(PEM_TAG, der));
    let name = format!("{now:012}-{}.pem", algorithm.name().to_ascii_lowercase());
    let file = folder.join(name);
    let draft = folder.join(format!(".draft-{}", random::text::<8>()));
    write_whole(folder, &draft, &file, text.as_bytes()).map_err(|source| {
        // The draft may not exist; the first failure is the one to tell.
        let _ = fs::remove_file(&draft);
        KeyError::Folder {
            folder: folder.to_owned(),
            source,
        }
    })?;
    Ok(file)
}

fn write_whole(folder: &Path, draft: &Path, file: &Path, text: &[u8]) -> io::Result<()> {
    let mut opened = owner_only().create_new(true).open(draft)?;
    opened.write_all(text)?;
    opened.sync_all()?;
    fs::rename(draft, file)?;
    // The new name is durable only when the folder is.
    File::open(folder)?.sync_all()
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(OWNER_ONLY);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn only_file(folder: &Path) -> PathBuf {
        let mut files = pem_files(folder).unwrap();
        assert_eq!(files.len(), 1);
        files.remove(0)
    }

    #[test]
    fn the_first_start_makes_a_key_that_the_second_finds() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("keys");
        let made = read_or_make(&folder, Algorithm::EdDsa, 1).unwrap();
        let found = read_or_make(&folder, Algorithm::EdDsa, 2).unwrap();
        assert_eq!(made[0].kid(), found[0].kid());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&only_file(&folder)), 0o600);
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            2,
            "the key and the lock"
        );
    }

    #[test]
    fn a_key_of_another_algorithm_is_kept_and_another_one_is_made() {
        let data = tempfile::tempdir().unwrap();
        let old = read_or_make(data.path(), Algorithm::EdDsa, 1).unwrap();
        let keys = read_or_make(data.path(), Algorithm::Es256, 2).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].algorithm(), Algorithm::Es256);
        assert_eq!(keys[1].kid(), old[0].kid());
    }

    #[test]
    fn the_newest_key_of_a_folder_comes_first() {
        let data = tempfile::tempdir().unwrap();
        make(data.path(), Algorithm::EdDsa, 9).unwrap();
        let newest = make(data.path(), Algorithm::EdDsa, 10).unwrap();
        let keys = read_or_make(data.path(), Algorithm::EdDsa, 11).unwrap();
        assert_eq!(keys[0].kid(), read(&newest).unwrap().kid());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let data = tempfile::tempdir().unwrap();
        read_or_make(data.path(), Algorithm::EdDsa, 1).unwrap();
        let file = only_file(data.path());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_or_make(data.path(), Algorithm::EdDsa, 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the key file {0} has mode 0640, open to others; run: chmod 600 {0}",
                file.display()
            )
        );
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_never_replaced() {
        let data = tempfile::tempdir().unwrap();
        read_or_make(data.path(), Algorithm::EdDsa, 1).unwrap();
        let file = only_file(data.path());
        let whole = fs::read_to_string(&file).unwrap();
        for text in [
            "",
            "garbage",
            &whole[..whole.len() / 2],
            &whole.replace("PRIVATE", "PUBLIC"),
        ] {
            fs::write(&file, text).unwrap();
            let error = read_or_make(data.path(), Algorithm::EdDsa, 2).unwrap_err();
            assert!(matches!(&error, KeyError::Corrupt { file: named, .. } if *named == file));
        }
        assert_eq!(only_file(data.path()), file);
    }

    #[test]
    fn given_files_need_one_that_signs() {
        let data = tempfile::tempdir().unwrap();
        let ed = make(data.path(), Algorithm::EdDsa, 1).unwrap();
        let es = make(data.path(), Algorithm::Es256, 1).unwrap();
        let keys = read_given(&[ed.clone(), es], Algorithm::EdDsa).unwrap();
        assert_eq!(keys.len(), 2);
        let refused = read_given(&[ed], Algorithm::Rs256);
        assert!(matches!(
            refused,
            Err(KeyError::NoneSigns { algorithm: "RS256" })
        ));
    }
}

//! Key files, readable by their owner only: signing keys that are given (PKCS#8 in PEM), and the
//! key that seals those in the database.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use shared::sealed::KEY_BYTES;

use super::{Algorithm, error::KeyError, pair::KeyPair, seal::SealingKeys};
use crate::random;

const PEM_TAG: &str = "PRIVATE KEY";
const OWNER_ONLY: u32 = 0o600;
/// Permission bits of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// The key that seals private keys in the database: read from its file, or made with it. Serves the
/// replicas of one machine; those of several need it from the environment.
pub(super) fn sealing_key(file: &Path) -> Result<SealingKeys, KeyError> {
    if !file.exists() {
        make_sealing_key(file).map_err(|source| KeyError::Folder {
            folder: file.parent().unwrap_or(file).to_owned(),
            source,
        })?;
    }
    let text = read_private(file)?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(SealingKeys::parse)
        .ok_or_else(|| KeyError::Corrupt {
            file: file.to_owned(),
            reason: "it is not 32 bytes in base64url",
        })
}

/// Written beside its place and flushed, then given its name unless somebody was faster: a crash
/// leaves either no key or a whole one, and two services that start at the same time have one.
fn make_sealing_key(file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let draft = folder.join(format!(".draft-{}", random::text::<8>()));
    let made = write_whole(&draft, random::text::<KEY_BYTES>().as_bytes()).and_then(|()| {
        match fs::hard_link(&draft, file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                tracing::info!(file = %file.display(), "made a key that seals the signing keys");
                // The new name is durable only when the folder is.
                File::open(folder)?.sync_all()
            }
        }
    });
    // It may not exist; the first failure is the one to tell.
    let _ = fs::remove_file(&draft);
    made
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

fn read(file: &Path) -> Result<KeyPair, KeyError> {
    let corrupt = |reason| KeyError::Corrupt {
        file: file.to_owned(),
        reason,
    };
    let pem = pem::parse(read_private(file)?).map_err(|_| corrupt("it is not PEM"))?;
    if pem.tag() != PEM_TAG {
        return Err(corrupt(
            "its PEM label is not PRIVATE KEY (unencrypted PKCS#8)",
        ));
    }
    KeyPair::from_pkcs8(pem.contents()).ok_or_else(|| {
        corrupt("it is not an RSA key of at least 2048 bits, a P-256 key or an Ed25519 key")
    })
}

/// The content of a file that nobody but its owner may read.
fn read_private(file: &Path) -> Result<Vec<u8>, KeyError> {
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
    Ok(text)
}

fn write_whole(draft: &Path, text: &[u8]) -> io::Result<()> {
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(draft)?;
    opened.write_all(text)?;
    opened.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set_mode(file: &Path, mode: u32) {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn given(folder: &Path, algorithm: Algorithm) -> PathBuf {
        let der = KeyPair::generate(algorithm).unwrap();
        let file = folder.join(format!("{}.pem", algorithm.name()));
        write_whole(&file, pem::encode(&pem::Pem::new(PEM_TAG, der)).as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_first_start_makes_a_sealing_key_that_the_second_finds() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("key-encryption.key");
        let made = sealing_key(&file).unwrap();
        let sealed = made.seal("kid", Algorithm::EdDsa, b"private").unwrap();
        let found = sealing_key(&file).unwrap();
        assert_eq!(
            found.open("kid", Algorithm::EdDsa, &sealed).unwrap(),
            b"private"
        );
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(data.path()).unwrap().count(),
            1,
            "only the key"
        );
    }

    #[test]
    fn services_that_start_at_the_same_time_have_one_sealing_key() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("key-encryption.key");
        let keys: Vec<SealingKeys> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| sealing_key(&file))).collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap().unwrap())
                .collect()
        });
        let sealed = keys[0].seal("kid", Algorithm::EdDsa, b"private").unwrap();
        for key in keys {
            assert!(key.open("kid", Algorithm::EdDsa, &sealed).is_some());
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let data = tempfile::tempdir().unwrap();
        let sealing = data.path().join("key-encryption.key");
        sealing_key(&sealing).unwrap();
        let signing = given(data.path(), Algorithm::EdDsa);
        for file in [&sealing, &signing] {
            set_mode(file, 0o640);
        }
        for (file, error) in [
            (&sealing, sealing_key(&sealing).unwrap_err()),
            (&signing, read(&signing).unwrap_err()),
        ] {
            let wanted = format!(
                "the key file {0} has mode 0640, open to others; run: chmod 600 {0}",
                file.display()
            );
            assert_eq!(error.to_string(), wanted);
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_never_replaced() {
        let data = tempfile::tempdir().unwrap();
        let sealing = data.path().join("key-encryption.key");
        sealing_key(&sealing).unwrap();
        for text in ["", "garbage", &"A".repeat(44)] {
            fs::write(&sealing, text).unwrap();
            let error = sealing_key(&sealing).unwrap_err();
            assert!(matches!(&error, KeyError::Corrupt { file, .. } if *file == sealing));
            assert_eq!(fs::read_to_string(&sealing).unwrap(), text);
        }
        let signing = given(data.path(), Algorithm::EdDsa);
        let whole = fs::read_to_string(&signing).unwrap();
        for text in [
            "",
            "garbage",
            &whole[..whole.len() / 2],
            &whole.replace("PRIVATE", "PUBLIC"),
        ] {
            fs::write(&signing, text).unwrap();
            let error = read(&signing).unwrap_err();
            assert!(matches!(&error, KeyError::Corrupt { file, .. } if *file == signing));
        }
    }

    #[test]
    fn given_files_need_one_that_signs() {
        let data = tempfile::tempdir().unwrap();
        let ed = given(data.path(), Algorithm::EdDsa);
        let es = given(data.path(), Algorithm::Es256);
        let keys = read_given(&[ed.clone(), es], Algorithm::EdDsa).unwrap();
        assert_eq!(keys.len(), 2);
        let refused = read_given(&[ed], Algorithm::Rs256);
        assert!(matches!(
            refused,
            Err(KeyError::NoneSigns { algorithm: "RS256" })
        ));
    }
}

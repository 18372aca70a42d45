//! What can be wrong with the keys.

use std::{io, path::PathBuf};

use shared::token::KeySetError;

use crate::storage::DatabaseError;

/// The keys cannot be used. Each says what to do; none holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key file cannot be made in the folder.
    #[error(
        "no key file can be made in {folder}: {source}; \
         make it writable for this user, or set AUTH_KEY_ENCRYPTION_KEY or AUTH_DATA_DIR"
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
         restore it from a backup"
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
    /// The keys in the database were sealed under another key.
    #[error(
        "the signing key {kid} in the database cannot be opened: it was sealed under another key; \
         give back that AUTH_KEY_ENCRYPTION_KEY (or key-encryption.key in AUTH_DATA_DIR). If it is \
         lost, delete the rows of the table signing_keys: every token that is out becomes invalid"
    )]
    Sealed {
        /// The key's id.
        kid: String,
    },
    /// The table was emptied while this service runs.
    #[error("the table signing_keys is empty; restart and a new key is made")]
    Emptied,
    /// The database with the keys.
    #[error("the signing keys cannot be read or written: {0}")]
    Database(#[from] DatabaseError),
    /// Our own key set is not one that a verifier takes.
    #[error("the key set cannot be published: {0}")]
    Unpublishable(#[from] KeySetError),
}

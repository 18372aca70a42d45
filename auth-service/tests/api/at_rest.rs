//! What is to be found of the signing keys at rest.

use std::fs;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    encoding::AsBigEndian as _,
    signature::Ed25519KeyPair,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::{
    keys::kids,
    on_both_databases,
    rotation::ENCRYPTION_KEY,
    service::{Backend, Builder, Service},
};

on_both_databases!(nothing_at_rest_holds_a_private_key_in_the_clear);

async fn nothing_at_rest_holds_a_private_key_in_the_clear(backend: Backend) {
    let service = Builder::new(backend)
        .option(&format!("--key-encryption-key={ENCRYPTION_KEY}"))
        .start()
        .await;
    let kid = kids(&service).await.remove(0);
    let (sealed, mut found) = at_rest(&service).await;
    let data = service.stop().await;
    for entry in fs::read_dir(data.path()).unwrap() {
        found.extend(fs::read(entry.unwrap().path()).unwrap());
    }

    // What is there is the key, for who has the encryption key.
    let private = unsealed(&sealed, &kid);
    let published = Ed25519KeyPair::from_pkcs8(&private).unwrap();
    let seed: aws_lc_rs::encoding::Curve25519SeedBin<'_> =
        published.seed().unwrap().as_be_bytes().unwrap();
    let seed = seed.as_ref().to_vec();
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    for (what, needle) in [
        ("the key", seed.clone()),
        ("the key in hexadecimal", hex.clone().into_bytes()),
        ("the key in HEXADECIMAL", hex.to_uppercase().into_bytes()),
        ("PEM", b"PRIVATE KEY".to_vec()),
        ("the encryption key", ENCRYPTION_KEY.as_bytes().to_vec()),
    ] {
        assert!(!contains(&found, &needle), "{what} is at rest");
    }
    // In base64 the text depends on where in it the key begins.
    for skipped in 0..3 {
        let inner = &seed[skipped..skipped + 24];
        for text in [STANDARD.encode(inner), URL_SAFE_NO_PAD.encode(inner)] {
            assert!(!contains(&found, text.as_bytes()), "base64 is at rest");
        }
    }
}

/// The sealed key, and everything in the table as bytes.
async fn at_rest(service: &Service) -> (String, Vec<u8>) {
    let statement = "SELECT kid || ' ' || algorithm || ' ' || sealed, sealed FROM signing_keys";
    let (all, sealed): (String, String) = match &service.database_url {
        Some(url) => {
            let pool = sqlx::PgPool::connect(url).await.unwrap();
            sqlx::query_as(statement).fetch_one(&pool).await.unwrap()
        }
        None => {
            let url = format!("sqlite:{}", service.data().join("users.sqlite").display());
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            sqlx::query_as(statement).fetch_one(&pool).await.unwrap()
        }
    };
    (sealed, all.into_bytes())
}

fn unsealed(sealed: &str, kid: &str) -> Vec<u8> {
    let key = URL_SAFE_NO_PAD.decode(ENCRYPTION_KEY).unwrap();
    let key = RandomizedNonceKey::new(&AES_256_GCM, &key).unwrap();
    let mut whole = URL_SAFE_NO_PAD.decode(sealed).unwrap();
    let (nonce, text) = whole.split_at_mut(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let context = format!("statewise signing key 1 EdDSA {kid}");
    let opened = key.open_in_place(nonce, Aad::from(context.as_bytes()), text);
    opened.unwrap().to_vec()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

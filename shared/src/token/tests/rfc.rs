//! The worked examples of RFC 7515, RFC 7519, RFC 7520 and RFC 8037, through the signature layer of
//! the real verifier. `rfc.json` has the RFCs' own keys and signed texts.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Example {
    source: String,
    alg: String,
    /// Whether the algorithm is one of ours; the others must be refused, correct as they are.
    accepted: bool,
    key: Value,
    jws: String,
}

fn examples() -> Vec<Example> {
    serde_json::from_str(include_str!("rfc.json")).unwrap()
}

/// The example's key next to one that is in use whatever the example is.
fn keys_with(key: &Value) -> KeySet {
    let named = changed(key.clone(), json!({"kid": "example"}));
    let set = json!({"keys": [named, Signer::eddsa("other").jwk()]});
    KeySet::from_jwks(set.to_string().as_bytes()).unwrap()
}

/// Most examples name no key, which a token must, so the key is named here.
fn open(example: &Example, jws: &str) -> Result<Vec<u8>, TokenError> {
    let parts = parts::Parts::split(jws)?;
    keys_with(&example.key).open("example", &example.alg, &parts)
}

#[test]
fn the_examples_of_our_algorithms_are_accepted_and_the_others_refused() {
    let examples = examples();
    for example in &examples {
        let found = open(example, &example.jws);
        assert_eq!(
            found.is_ok(),
            example.accepted,
            "{}: {found:?}",
            example.source
        );
    }
    let accepted = examples.iter().filter(|example| example.accepted).count();
    assert_eq!((examples.len(), accepted), (10, 4));
}

#[test]
fn the_payload_of_an_example_is_the_one_that_the_rfc_prints() {
    let payload = |source: &str| {
        let examples = examples();
        let example = examples.iter().find(|one| one.source == source).unwrap();
        String::from_utf8(open(example, &example.jws).unwrap()).unwrap()
    };
    assert_eq!(
        payload("RFC 7515 A.2"),
        "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
    );
    assert_eq!(payload("RFC 8037 A.4"), "Example of Ed25519 signing");
    assert!(payload("RFC 7520 4.1").starts_with("It\u{2019}s a dangerous business, Frodo"));
}

#[test]
fn an_example_with_any_part_of_another_one_is_refused() {
    let examples = examples();
    let ours: Vec<_> = examples.iter().filter(|one| one.accepted).collect();
    for (one, other) in ours
        .iter()
        .flat_map(|one| ours.iter().map(move |two| (one, two)))
    {
        let parts = |example: &Example| -> Vec<String> {
            example.jws.split('.').map(str::to_owned).collect()
        };
        for at in 0..3 {
            let mut mixed = parts(one);
            mixed[at] = parts(other)[at].clone();
            let mixed = mixed.join(".");
            // Two examples may have the same payload.
            if mixed != one.jws {
                assert_eq!(
                    open(one, &mixed),
                    Err(TokenError::Signature),
                    "{}",
                    one.source
                );
            }
        }
    }
}

#[test]
fn no_example_is_an_access_token() {
    for example in examples() {
        let keys = keys_with(&example.key);
        let found = profile().verify(&example.jws, &keys, 1_300_819_300);
        assert!(found.is_err(), "{}", example.source);
    }
}

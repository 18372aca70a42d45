//! The JOSE vectors of Project Wycheproof through the verifier's own steps for RFC 7515 and
//! RFC 7517. Every vector must be answered as the suite expects, or be listed as one that cannot
//! apply, and both lists must be complete.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use wycheproof_ng_kdf_jose::json_web::{TestGroup, TestName, TestSet};

use super::*;

/// Valid signatures by algorithms that are left out on purpose, by `tcId`. Each must be refused,
/// which is not what the suite expects and is what is promised here: whoever can verify an HMAC can
/// sign (RFC 8725 §3.2), and a verifier that knows more than the issuer uses has more to attack.
/// A key of RSA without `alg` is for RS256 here, so what such a key signed otherwise is refused too.
const OTHER_SIGNATURES: [(&str, &[usize]); 3] = [
    ("ES512", &[347, 351]),
    ("HS256", &[1, 348, 352, 357, 358, 359, 372, 373, 376, 377]),
    ("PS384", &[346, 350]),
];
const OTHER_KEYS: [(&str, &[usize]); 3] = [("HS256", &[2, 13]), ("HS384", &[14]), ("HS512", &[15])];

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    vectors: usize,
    /// Valid, and accepted.
    accepted: usize,
    /// Invalid, and refused by a verifier that has the key.
    refused: usize,
    /// Invalid, and refused because no key of the document is one for our algorithms.
    refused_with_its_key: usize,
    /// Valid, of another algorithm, and refused.
    cannot_apply: usize,
}

fn keys_of(group: &TestGroup) -> Value {
    let public = group.public_key.as_ref().or(group.private_key.as_ref());
    let keys = public.unwrap().clone();
    match keys.get("keys") {
        Some(_) => keys,
        None => json!({"keys": [keys]}),
    }
}

/// What the verifier does with a token before it looks for a `typ` and claims, which a vector does
/// not have.
fn open(jws: &Value, keys: &KeySet) -> Result<Vec<u8>, TokenError> {
    // A vector in the JSON serialization (RFC 7515 §7.2) reaches a verifier as that text.
    let text = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
    let parts = parts::Parts::split(&text)?;
    let header = parts.header()?;
    keys.open(&header.kid, &header.alg, &parts)
}

fn algorithm_of(jws: &Value) -> String {
    let header = jws.as_str().unwrap().split('.').next().unwrap();
    // Two valid vectors have characters in the header that their author's decoder skips.
    let bytes = URL_SAFE_NO_PAD.decode(header.replace('?', "")).unwrap();
    let header: Value = serde_json::from_slice(&bytes).unwrap();
    header["alg"].as_str().unwrap().to_owned()
}

fn run(name: TestName, others: &[(&str, &[usize])]) -> Totals {
    let mut totals = Totals::default();
    let mut cannot_apply: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for group in TestSet::load(name).unwrap().test_groups {
        let keys = KeySet::from_jwks(keys_of(&group).to_string().as_bytes());
        for test in &group.tests {
            let jws = test.jws.as_ref().unwrap();
            let opened = keys.as_ref().ok().map(|keys| open(jws, keys));
            totals.vectors += 1;
            match (test.result.must_fail(), opened) {
                (false, Some(Ok(_))) => totals.accepted += 1,
                (true, Some(Err(_))) => totals.refused += 1,
                (true, None) => totals.refused_with_its_key += 1,
                (false, None | Some(Err(TokenError::Algorithm))) => {
                    totals.cannot_apply += 1;
                    let of_algorithm = cannot_apply.entry(algorithm_of(jws));
                    of_algorithm.or_default().push(test.tc_id);
                }
                (_, Some(other)) => panic!("{} ({}): {other:?}", test.tc_id, test.comment),
            }
        }
    }
    let listed: BTreeMap<String, Vec<usize>> = others
        .iter()
        .map(|(algorithm, ids)| ((*algorithm).to_owned(), ids.to_vec()))
        .collect();
    assert_eq!(cannot_apply, listed, "what cannot apply, by algorithm");
    eprintln!("{name:?}: {totals:?}");
    totals
}

#[test]
fn every_signature_vector_is_accounted_for() {
    let expected = Totals {
        vectors: 401,
        accepted: 32,
        refused: 321,
        refused_with_its_key: 34,
        cannot_apply: 14,
    };
    assert_eq!(run(TestName::JsonWebSignature, &OTHER_SIGNATURES), expected);
}

#[test]
fn every_key_vector_is_accounted_for() {
    let expected = Totals {
        vectors: 26,
        accepted: 1,
        refused: 3,
        refused_with_its_key: 18,
        cannot_apply: 4,
    };
    assert_eq!(run(TestName::JsonWebKey, &OTHER_KEYS), expected);
}

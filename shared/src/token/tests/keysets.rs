//! What may stand in a key set, and what is left out of it (RFC 7517, RFC 7518).

use testkit::signer::encode;

use super::*;

fn set_of(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::from_jwks(json!({"keys": keys}).to_string().as_bytes())
}

/// The key is left out and the good one next to it stays.
#[track_caller]
fn is_left_out(key: Value) {
    let good = Signer::eddsa("good");
    let set = set_of(&[key, good.jwk()]).unwrap();
    assert_eq!(set.len(), 1, "{set:?}");
    assert!(set.contains("good"));
}

#[test]
fn keys_of_all_three_kinds_live_in_one_set() {
    let signers = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let set = set_of(&signers.each_ref().map(Signer::jwk)).unwrap();
    for signer in &signers {
        let token = signer.sign(&good_claims());
        assert!(profile().verify(&token, &set, NOW).is_ok());
    }
}

#[test]
fn a_key_of_an_unknown_kind_is_left_out() {
    is_left_out(json!({"kty": "PQC", "kid": "k"}));
    is_left_out(json!({"kty": "EC", "crv": "P-521", "kid": "k", "x": "AA", "y": "AA"}));
    is_left_out(json!({"kty": "OKP", "crv": "X25519", "kid": "k", "x": "AA"}));
    is_left_out(json!({"kid": "k"}));
    is_left_out(json!("k"));
    is_left_out(json!(null));
}

#[test]
fn a_key_for_encryption_is_left_out() {
    let jwk = Signer::eddsa("k").jwk();
    is_left_out(changed(jwk.clone(), json!({"use": "enc"})));
    is_left_out(changed(jwk.clone(), json!({"use": 1})));
    is_left_out(changed(jwk.clone(), json!({"key_ops": ["encrypt"]})));
    is_left_out(changed(jwk, json!({"key_ops": "verify"})));
}

#[test]
fn a_key_without_an_id_is_left_out() {
    let jwk = Signer::eddsa("k").jwk();
    is_left_out(changed(jwk.clone(), json!({"kid": null})));
    is_left_out(changed(jwk.clone(), json!({"kid": ""})));
    is_left_out(changed(jwk.clone(), json!({"kid": 7})));
    is_left_out(changed(jwk, json!({"kid": "k".repeat(129)})));
}

#[test]
fn a_key_that_shows_a_private_member_is_left_out() {
    is_left_out(changed(Signer::eddsa("k").jwk(), json!({"d": "AA"})));
    is_left_out(changed(Signer::rs256("k").jwk(), json!({"p": "AA"})));
    is_left_out(json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}));
}

#[test]
fn a_key_for_another_algorithm_is_left_out() {
    is_left_out(changed(
        Signer::rs256("k").jwk(),
        json!({"alg": "RSA-OAEP"}),
    ));
    is_left_out(changed(Signer::rs256("k").jwk(), json!({"alg": ["RS256"]})));
    is_left_out(changed(Signer::es256("k").jwk(), json!({"alg": "ES384"})));
    is_left_out(changed(Signer::eddsa("k").jwk(), json!({"alg": "Ed448"})));
    is_left_out(changed(Signer::es256("k").jwk(), json!({"alg": "RS256"})));
    is_left_out(changed(Signer::eddsa("k").jwk(), json!({"alg": 1})));
}

/// RFC 8725 §3.1: a key of RSA is for the one algorithm that the set names, RS256 without a name.
#[test]
fn an_rsa_key_is_for_the_algorithm_that_the_set_names_and_no_other() {
    let signer = Signer::rs256("k");
    let all = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for of_key in all {
        let set = set_of(&[changed(signer.jwk(), json!({"alg": of_key}))]).unwrap();
        for of_token in all {
            let header = json!({"alg": of_token, "typ": "at+jwt", "kid": "k"}).to_string();
            // Its signature is of RS256 always.
            let token = signer.sign_as_written(&header, &good_claims().to_string());
            let expected = match (of_key, of_token) {
                ("RS256", "RS256") => Ok(()),
                _ if of_key == of_token => Err(TokenError::Signature),
                _ => Err(TokenError::Algorithm),
            };
            let verdict = profile().verify(&token, &set, NOW).map(drop);
            assert_eq!(verdict, expected, "{of_token} with a key for {of_key}");
        }
    }
}

/// RFC 9864 §2.2.
#[test]
fn ed25519_is_another_name_of_the_same_algorithm() {
    let signer = Signer::eddsa("k");
    for of_key in [None, Some("EdDSA"), Some("Ed25519")] {
        let set = set_of(&[changed(signer.jwk(), json!({"alg": of_key}))]).unwrap();
        for of_token in ["EdDSA", "Ed25519"] {
            let header = json!({"alg": of_token, "typ": "at+jwt", "kid": "k"}).to_string();
            let token = signer.sign_as_written(&header, &good_claims().to_string());
            assert!(
                profile().verify(&token, &set, NOW).is_ok(),
                "{of_key:?} {of_token}"
            );
        }
    }
}

#[test]
fn a_short_rsa_key_is_left_out_even_when_zeros_make_it_look_long() {
    let short = [vec![0x80], vec![1; 127]].concat();
    let padded = [vec![0; 128], short.clone()].concat();
    for modulus in [short, padded, vec![0; 256]] {
        is_left_out(json!({"kty": "RSA", "kid": "k", "n": encode(modulus), "e": "AQAB"}));
    }
}

#[test]
fn an_rsa_modulus_written_with_a_leading_zero_is_the_same_key() {
    let signer = Signer::rs256("k");
    let modulus = signer.jwk()["n"].as_str().unwrap().to_owned();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &modulus);
    let padded = encode([vec![0], bytes.unwrap()].concat());
    let set = set_of(&[changed(signer.jwk(), json!({"n": padded}))]).unwrap();
    let token = signer.sign(&good_claims());
    assert!(profile().verify(&token, &set, NOW).is_ok());
}

#[test]
fn a_key_with_members_of_the_wrong_length_or_alphabet_is_left_out() {
    is_left_out(changed(Signer::eddsa("k").jwk(), json!({"x": "AA"})));
    is_left_out(changed(
        Signer::es256("k").jwk(),
        json!({"y": encode([1; 31])}),
    ));
    is_left_out(changed(Signer::rs256("k").jwk(), json!({"n": "+/=="})));
    is_left_out(changed(Signer::rs256("k").jwk(), json!({"e": null})));
}

#[test]
fn two_keys_of_one_id_are_both_left_out() {
    is_left_out_twice(&[Signer::eddsa("k").jwk(), Signer::eddsa("k").jwk()]);
    is_left_out_twice(&[Signer::eddsa("k").jwk(), Signer::es256("k").jwk()]);
    let jwk = Signer::eddsa("k").jwk();
    is_left_out_twice(&[jwk.clone(), Signer::eddsa("k").jwk(), jwk]);
}

#[track_caller]
fn is_left_out_twice(keys: &[Value]) {
    let set = set_of(&[keys, &[Signer::eddsa("good").jwk()]].concat()).unwrap();
    assert_eq!(set.len(), 1, "{set:?}");
}

#[test]
fn the_same_key_twice_is_one_key() {
    let signer = Signer::eddsa("k");
    let set = set_of(&[signer.jwk(), signer.jwk()]).unwrap();
    assert!(set.contains("k"));
}

#[test]
fn unknown_members_are_ignored() {
    let jwk = changed(
        Signer::eddsa("k").jwk(),
        json!({"use": "sig", "alg": "EdDSA", "key_ops": ["verify"], "x5c": ["AA"], "note": {}}),
    );
    assert!(set_of(&[jwk]).unwrap().contains("k"));
}

#[test]
fn a_document_that_is_no_key_set_is_an_error() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>", r#"{"keys":["#] {
        let outcome = KeySet::from_jwks(text.as_bytes());
        assert!(matches!(outcome, Err(KeySetError::Document(_))), "{text}");
    }
}

#[test]
fn a_set_without_a_usable_key_is_an_error() {
    assert!(matches!(set_of(&[]), Err(KeySetError::NoUsableKey(0))));
    let unusable = json!({"kty": "PQC", "kid": "k"});
    assert!(matches!(
        set_of(&[unusable]),
        Err(KeySetError::NoUsableKey(1))
    ));
}

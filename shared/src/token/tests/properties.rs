//! What must hold for any input.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::eddsa("k1"));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| key_set(&SIGNER));

fn verify(token: &str, keys: &KeySet, now: u64) -> Result<AccessClaims, TokenError> {
    profile().verify(token, keys, now)
}

#[test]
fn a_change_of_any_one_character_of_a_good_token_is_refused() {
    for signer in [
        Signer::rs256("k1"),
        Signer::es256("k1"),
        Signer::eddsa("k1"),
    ] {
        let keys = key_set(&signer);
        let token = signer.sign(&good_claims());
        for (at, good) in token.char_indices() {
            // The next in the alphabet, one far away, and one that is not in it.
            for other in ['A', 'B', 'x', '-', '=', '.', ' '] {
                if other != good {
                    let mut changed = token.clone();
                    changed.replace_range(at..=at, &other.to_string());
                    assert!(
                        verify(&changed, &keys, NOW).is_err(),
                        "character {at} became {other:?} and the token was accepted"
                    );
                }
            }
        }
    }
}

#[test]
fn the_last_character_has_one_spelling() {
    // 64 signature bytes leave four bits of the last character unused; a lenient decoder would
    // accept 16 spellings of one token.
    let token = SIGNER.sign(&good_claims());
    let (start, last) = token.split_at(token.len() - 1);
    let accepted = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_'])
        .filter(|other| verify(&format!("{start}{other}"), &KEYS, NOW).is_ok())
        .collect::<String>();
    assert_eq!(accepted, last);
}

proptest! {
    #[test]
    fn no_text_panics_or_is_accepted(text in ".{0,400}") {
        prop_assert!(verify(&text, &KEYS, NOW).is_err());
        let _ = unverified_kid(&text);
    }

    #[test]
    fn no_three_parts_panic_or_are_accepted(
        parts in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..120)),
    ) {
        let text = parts.map(testkit::signer::encode).join(".");
        prop_assert!(verify(&text, &KEYS, NOW).is_err());
    }

    #[test]
    fn no_signed_payload_panics_or_is_accepted(payload in ".{1,200}") {
        let token = SIGNER.sign_as_written(&SIGNER.header(), &payload);
        prop_assert_eq!(verify(&token, &KEYS, NOW), Err(TokenError::Claims));
    }

    #[test]
    fn no_bytes_panic_as_a_key_set(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = KeySet::from_jwks(&bytes);
    }

    #[test]
    fn a_token_is_accepted_exactly_while_its_times_allow_it(
        iat in NOW - 200_000..NOW + 100,
        lifetime in 0_u64..100_000,
        nbf in prop::option::of(NOW - 100..NOW + 100),
    ) {
        let exp = iat + lifetime;
        let token = SIGNER.sign(&claims_with(json!({"iat": iat, "exp": exp, "nbf": nbf})));
        let allowed = NOW < exp + 30
            && iat <= NOW + 30
            && lifetime <= 86_400
            && nbf.is_none_or(|nbf| nbf <= NOW + 30);
        prop_assert_eq!(verify(&token, &KEYS, NOW).is_ok(), allowed);
    }

    #[test]
    fn claims_survive_the_way_over_the_wire(
        sub in "[^\"]{1,40}",
        aud in prop::collection::vec("[a-z]{1,8}", 1..4),
        roles in prop::collection::vec("[a-z]{1,8}", 0..4),
        sid in prop::option::of("[a-z0-9]{1,20}"),
    ) {
        let claims = AccessClaims {
            iss: ISSUER.to_owned(),
            sub,
            aud: [aud, vec![AUDIENCE.to_owned()]].concat(),
            client_id: "c".to_owned(),
            iat: NOW,
            exp: NOW + 60,
            nbf: None,
            jti: "t".to_owned(),
            roles,
            scope: sid.clone(),
            preferred_username: sid.clone(),
            sid,
            generation: None,
        };
        let token = SIGNER.sign(&serde_json::to_value(&claims).unwrap());
        prop_assert_eq!(verify(&token, &KEYS, NOW), Ok(claims));
    }
}

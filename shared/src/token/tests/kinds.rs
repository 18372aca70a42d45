//! Kinds of token exclude one another, pair by pair (RFC 8725 §3.12).

use super::*;

/// Good claims of each kind, with its `typ`.
fn kinds() -> [(&'static str, Value); 3] {
    let logout = json!({
        "iss": ISSUER, "sub": "u-1", "sid": "s-1", "aud": AUDIENCE, "jti": "t-1",
        "iat": NOW - 1, "exp": NOW + 119, "events": {LOGOUT_EVENT: {}},
    });
    let internal = json!({
        "iss": ISSUER, "sub": "gateway", "aud": AUDIENCE, "jti": "t-1",
        "iat": NOW - 1, "exp": NOW + 59,
    });
    [
        (ACCESS_TOKEN_TYPE, good_claims()),
        (LOGOUT_TOKEN_TYPE, logout),
        (INTERNAL_TOKEN_TYPE, internal),
    ]
}

/// One claims set that has every member that any kind asks for.
fn claims_of_all_kinds() -> Value {
    let mut all = json!({});
    for (_, claims) in kinds() {
        all = changed(all, claims);
    }
    all
}

fn signed(signer: &Signer, typ: &str, claims: &Value) -> String {
    let header = changed(
        serde_json::from_str(&signer.header()).unwrap(),
        json!({"typ": typ}),
    );
    signer.sign_as_written(&header.to_string(), &claims.to_string())
}

type Verify = fn(&str, &KeySet) -> Result<(), TokenError>;

fn verify_as<K: Kind>(token: &str, keys: &KeySet) -> Result<(), TokenError> {
    profile().verify::<K>(token, keys, NOW).map(|_| ())
}

/// A verifier for each kind.
fn verifiers() -> [(&'static str, Verify); 3] {
    [
        (AccessClaims::TYPE, verify_as::<AccessClaims>),
        (LogoutClaims::TYPE, verify_as::<LogoutClaims>),
        (InternalClaims::TYPE, verify_as::<InternalClaims>),
    ]
}

#[test]
fn a_token_is_accepted_as_its_own_kind_and_as_no_other() {
    let signer = Signer::eddsa("k1");
    let keys = key_set(&signer);
    let mut pairs = 0;
    for (typ, claims) in kinds() {
        // With just its own claims, and with those of all kinds: only `typ` tells them apart then.
        for claims in [claims, claims_of_all_kinds()] {
            let token = signed(&signer, typ, &claims);
            for (expected, verify) in verifiers() {
                pairs += 1;
                let found = verify(&token, &keys);
                let right = if typ == expected {
                    Ok(())
                } else {
                    Err(TokenError::Header("typ is that of another kind"))
                };
                assert_eq!(found, right, "{typ} as {expected}");
            }
        }
    }
    assert_eq!(pairs, 18);
}

#[test]
fn the_type_of_one_kind_does_not_lend_the_claims_of_another() {
    let signer = Signer::eddsa("k1");
    let keys = key_set(&signer);
    for (typ, claims) in [
        (ACCESS_TOKEN_TYPE, kinds()[1].1.clone()),
        (ACCESS_TOKEN_TYPE, kinds()[2].1.clone()),
        (LOGOUT_TOKEN_TYPE, kinds()[0].1.clone()),
        (LOGOUT_TOKEN_TYPE, kinds()[2].1.clone()),
    ] {
        let token = signed(&signer, typ, &claims);
        let (_, verify) = *verifiers().iter().find(|(kind, _)| *kind == typ).unwrap();
        assert_eq!(verify(&token, &keys), Err(TokenError::Claims), "{typ}");
    }
}

#[test]
fn no_two_kinds_have_one_type() {
    let types: std::collections::BTreeSet<String> = verifiers()
        .iter()
        .map(|(typ, _)| typ.to_ascii_lowercase())
        .collect();
    assert_eq!(types.len(), verifiers().len());
}

#[track_caller]
fn logout(changes: Value) -> Result<LogoutClaims, TokenError> {
    let signer = Signer::eddsa("k1");
    let claims = changed(kinds()[1].1.clone(), changes);
    let token = signed(&signer, LOGOUT_TOKEN_TYPE, &claims);
    profile().verify(&token, &key_set(&signer), NOW)
}

// OpenID Connect Back-Channel Logout 1.0 §2.4 and §2.6.

#[test]
fn a_logout_token_names_a_user_or_a_login() {
    assert_eq!(logout(json!({})).unwrap().sid.as_deref(), Some("s-1"));
    assert_eq!(logout(json!({"sub": null})).unwrap().sub, None);
    assert_eq!(logout(json!({"sid": null})).unwrap().sid, None);
    let neither = logout(json!({"sub": null, "sid": null}));
    assert_eq!(neither, Err(TokenError::Claims));
    assert_eq!(logout(json!({"sub": ""})), Err(TokenError::Claims));
}

#[test]
fn a_logout_token_says_that_it_is_one() {
    assert!(logout(json!({"events": {LOGOUT_EVENT: {}, "other": {}}})).is_ok());
    for events in [
        json!(null),
        json!({}),
        json!({"other": {}}),
        json!({LOGOUT_EVENT: true}),
        json!([LOGOUT_EVENT]),
        json!([{}]),
        json!(LOGOUT_EVENT),
    ] {
        assert_eq!(logout(json!({"events": events})), Err(TokenError::Claims));
    }
}

#[test]
fn a_logout_token_with_a_nonce_is_refused() {
    for nonce in [json!("n"), json!(""), json!(false), json!({})] {
        assert_eq!(logout(json!({"nonce": nonce})), Err(TokenError::Claims));
    }
}

#[test]
fn every_other_claim_of_a_logout_token_is_checked_as_in_any_token() {
    for (name, value, refused) in [
        ("iss", json!("https://other.example"), TokenError::Issuer),
        ("aud", json!("other"), TokenError::Audience),
        ("exp", json!(NOW - 31), TokenError::Expired),
        ("iat", json!(NOW + 31), TokenError::IssuedAhead),
        ("nbf", json!(NOW + 31), TokenError::NotYetValid),
        ("exp", json!(NOW + 90_000), TokenError::Lifetime),
        ("jti", json!(""), TokenError::Claims),
    ] {
        assert_eq!(logout(json!({name: value})), Err(refused), "{name}");
    }
    for name in ["iss", "aud", "iat", "exp", "jti"] {
        assert_eq!(
            logout(json!({name: null})),
            Err(TokenError::Claims),
            "{name}"
        );
    }
}

#[test]
fn an_internal_token_names_its_service() {
    let signer = Signer::eddsa("k1");
    let verify = |changes| {
        let claims = changed(kinds()[2].1.clone(), changes);
        let token = signed(&signer, INTERNAL_TOKEN_TYPE, &claims);
        profile().verify::<InternalClaims>(&token, &key_set(&signer), NOW)
    };
    assert_eq!(verify(json!({})).unwrap().sub, "gateway");
    for (name, value) in [("sub", json!("")), ("sub", json!(null)), ("jti", json!(""))] {
        assert_eq!(verify(json!({name: value})), Err(TokenError::Claims));
    }
}

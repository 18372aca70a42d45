//! Tests of the profile: each refusal by its name, and what must hold for any input.

mod keysets;
mod properties;
mod rfc;
mod wycheproof;

use serde_json::{Value, json};
use testkit::signer::Signer;

use super::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example/auth";
const AUDIENCE: &str = "statewise-api";

fn profile() -> AccessTokenProfile {
    AccessTokenProfile {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        leeway: Duration::from_secs(30),
        max_lifetime: Duration::from_secs(86_400),
        types: TokenTypes::default(),
        algorithms: TokenAlgorithms::default(),
        roles: RolesClaim::default(),
    }
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "u-1", "aud": AUDIENCE, "client_id": "statewise", "jti": "t-1",
        "iat": NOW - 60, "exp": NOW + 840, "roles": ["user"], "sid": "s-1",
        "preferred_username": "ada",
    })
}

/// The good claims with some replaced; `null` takes a claim out.
fn claims_with(changes: Value) -> Value {
    changed(good_claims(), changes)
}

fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}

/// The key set that publishes the key of `signer` alone.
fn key_set(signer: &Signer) -> KeySet {
    KeySet::from_jwks(signer.jwks().as_bytes()).unwrap()
}

fn verify_at(signer: &Signer, token: &str, now: u64) -> Result<AccessClaims, TokenError> {
    profile().verify(token, &key_set(signer), now)
}

#[track_caller]
fn claims_are_refused(changes: Value, expected: TokenError) {
    let signer = Signer::eddsa("k1");
    let token = signer.sign(&claims_with(changes));
    assert_eq!(verify_at(&signer, &token, NOW), Err(expected));
}

#[track_caller]
fn claims_are_accepted(changes: Value) {
    let signer = Signer::eddsa("k1");
    let token = signer.sign(&claims_with(changes));
    assert!(verify_at(&signer, &token, NOW).is_ok());
}

/// Signs `header` as it is written, so that members may be repeated.
#[track_caller]
fn header_is_refused(header: &str, expected: TokenError) {
    let signer = Signer::eddsa("k1");
    let token = signer.sign_as_written(header, &good_claims().to_string());
    assert_eq!(verify_at(&signer, &token, NOW), Err(expected));
}

#[track_caller]
fn header_is_accepted(header: &str) {
    let signer = Signer::eddsa("k1");
    let token = signer.sign_as_written(header, &good_claims().to_string());
    assert!(verify_at(&signer, &token, NOW).is_ok());
}

#[test]
fn a_good_token_of_each_algorithm_is_accepted_with_its_claims() {
    for signer in [
        Signer::rs256("k1"),
        Signer::es256("k1"),
        Signer::eddsa("k1"),
    ] {
        let token = signer.sign(&good_claims());
        let claims = verify_at(&signer, &token, NOW).unwrap();
        assert_eq!(claims.sub, "u-1");
        assert_eq!(claims.aud, [AUDIENCE]);
        assert_eq!(claims.roles, ["user"]);
        assert_eq!(claims.preferred_username.as_deref(), Some("ada"));
        assert_eq!(unverified_kid(&token), Ok("k1".to_owned()));
    }
}

// What the library accepts by default and the profile does not.

#[test]
fn an_unknown_critical_header_is_refused() {
    let crit = || TokenError::Header("crit");
    for value in [r#"["exp"]"#, r#"["x"]"#, "[]", "null", "false", r#""x""#] {
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"k1","crit":{value}}}"#);
        header_is_refused(&header, crit());
    }
}

#[test]
fn a_logout_token_is_no_access_token() {
    let typ = || TokenError::Header("typ is that of another kind");
    for value in [
        "logout+jwt",
        "statewise-internal+jwt",
        "JWT",
        "at+jwt+x",
        "application/",
        "",
    ] {
        let header = format!(r#"{{"alg":"EdDSA","typ":"{value}","kid":"k1"}}"#);
        header_is_refused(&header, typ());
    }
    header_is_refused(r#"{"alg":"EdDSA","kid":"k1"}"#, typ());
    header_is_refused(r#"{"alg":"EdDSA","typ":null,"kid":"k1"}"#, typ());
}

#[test]
fn a_token_without_an_audience_is_refused() {
    claims_are_refused(json!({"aud": null}), TokenError::Claims);
}

#[test]
fn a_token_without_an_issuer_is_refused() {
    claims_are_refused(json!({"iss": null}), TokenError::Claims);
}

#[test]
fn a_token_that_is_not_valid_for_another_hour_is_refused() {
    claims_are_refused(json!({"nbf": NOW + 3_600}), TokenError::NotYetValid);
    claims_are_refused(json!({"nbf": NOW + 31}), TokenError::NotYetValid);
    claims_are_accepted(json!({"nbf": NOW + 30}));
}

#[test]
fn a_token_issued_an_hour_ahead_is_refused() {
    let ahead = json!({"iat": NOW + 3_600, "exp": NOW + 7_200});
    claims_are_refused(ahead, TokenError::IssuedAhead);
    claims_are_accepted(json!({"iat": NOW + 30}));
}

#[test]
fn a_token_that_lives_for_thousands_of_years_is_refused() {
    claims_are_refused(json!({"exp": 1_000_000_000_000_u64}), TokenError::Lifetime);
    claims_are_refused(
        json!({"iat": NOW, "exp": NOW + 86_401}),
        TokenError::Lifetime,
    );
    claims_are_accepted(json!({"iat": NOW, "exp": NOW + 86_400}));
}

#[test]
fn a_token_that_expired_30_s_ago_is_refused_at_a_leeway_of_30_s() {
    claims_are_refused(json!({"exp": NOW - 30}), TokenError::Expired);
    claims_are_accepted(json!({"exp": NOW - 29}));
}

#[test]
fn a_token_that_expired_90_s_ago_is_refused() {
    let expired = json!({"iat": NOW - 990, "exp": NOW - 90});
    claims_are_refused(expired, TokenError::Expired);
}

#[test]
fn a_list_of_audiences_that_contains_ours_is_accepted() {
    claims_are_accepted(json!({"aud": ["other", AUDIENCE]}));
    claims_are_refused(json!({"aud": ["other"]}), TokenError::Audience);
    claims_are_refused(json!({"aud": []}), TokenError::Audience);
    claims_are_refused(json!({"aud": "Statewise-api"}), TokenError::Audience);
}

// The other claims.

#[test]
fn the_issuer_is_compared_byte_for_byte() {
    let slash = format!("{ISSUER}/");
    claims_are_refused(json!({"iss": slash}), TokenError::Issuer);
}

#[test]
fn each_claim_that_the_profile_requires_is_required() {
    for name in ["iss", "sub", "aud", "client_id", "jti", "iat", "exp"] {
        claims_are_refused(json!({name: null}), TokenError::Claims);
    }
}

#[test]
fn a_claim_of_another_type_is_refused() {
    for (name, value) in [
        ("sub", json!(7)),
        ("sub", json!("")),
        ("aud", json!({})),
        ("aud", json!([AUDIENCE, 1])),
        ("exp", json!("1800000840")),
        ("exp", json!(-1)),
        ("iat", json!(1e300)),
        ("nbf", json!(true)),
        ("jti", json!(["t"])),
    ] {
        claims_are_refused(json!({name: value}), TokenError::Claims);
    }
}

/// RFC 8725 §3.12: what says of no kind that it is one must not look like another.
#[test]
fn a_token_that_is_any_jwt_is_accepted_only_where_it_is_asked_for() {
    let signer = Signer::eddsa("k1");
    let keys = key_set(&signer);
    let any = AccessTokenProfile {
        types: "at+jwt,JWT".parse().unwrap(),
        ..profile()
    };
    let signed = |header: Value, changes: Value| {
        let claims = claims_with(changes).to_string();
        signer.sign_as_written(&header.to_string(), &claims)
    };
    let untyped = json!({"alg": "EdDSA", "kid": "k1"});
    let bare = json!({"client_id": null, "jti": null});
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("application/jwt"),
        json!(null),
    ] {
        let token = signed(changed(untyped.clone(), json!({"typ": typ})), bare.clone());
        assert!(any.verify(&token, &keys, NOW).is_ok(), "{typ}");
        let refused = profile().verify(&token, &keys, NOW);
        assert!(matches!(refused, Err(TokenError::Header(_))), "{typ}");
    }
    for (sign, value) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        (
            "events",
            json!({"http://schemas.openid.net/event/backchannel-logout": {}}),
        ),
    ] {
        let token = signed(untyped.clone(), json!({sign: value}));
        assert_eq!(
            any.verify(&token, &keys, NOW),
            Err(TokenError::Kind),
            "{sign}"
        );
    }
    for typ in [
        "id_token",
        "logout+jwt",
        "dpop+jwt",
        "token-introspection+jwt",
        "",
    ] {
        let token = signed(changed(untyped.clone(), json!({"typ": typ})), json!({}));
        assert!(any.verify(&token, &keys, NOW).is_err(), "{typ}");
    }
    // RFC 9068 §2.2 asks for more of its own kind, wherever it is accepted.
    let own = changed(untyped, json!({"typ": "at+jwt"}));
    let token = signed(own, bare);
    assert_eq!(any.verify(&token, &keys, NOW), Err(TokenError::Claims));
}

/// RFC 8725 §3.1: a key in the set is not yet leave to use it.
#[test]
fn an_algorithm_that_the_issuer_may_not_use_is_refused_whoever_signed() {
    let signers = [Signer::rs256("k"), Signer::es256("k"), Signer::eddsa("k")];
    let names = ["RS256", "ES256", "EdDSA"];
    for (signer, own) in signers.iter().zip(names) {
        let (keys, token) = (key_set(signer), signer.sign(&good_claims()));
        for allowed in names {
            let profile = AccessTokenProfile {
                algorithms: allowed.parse().unwrap(),
                ..profile()
            };
            let verdict = profile.verify(&token, &keys, NOW).map(drop);
            let wanted = if own == allowed {
                Ok(())
            } else {
                Err(TokenError::Algorithm)
            };
            assert_eq!(verdict, wanted, "{own} where {allowed} is allowed");
        }
    }
}

#[test]
fn the_issuer_that_a_token_names_is_read_without_its_signature_and_strictly() {
    let signer = Signer::eddsa("k1");
    let named = |payload: &str| unverified_issuer(&signer.sign_as_written("{}", payload));
    assert_eq!(
        unverified_issuer(&signer.sign(&good_claims())).as_deref(),
        Ok(ISSUER)
    );
    for payload in [
        "{}",
        r#"{"iss":7}"#,
        r#"{"iss":["a"]}"#,
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"iss":"a","\u0069ss":"a"}"#,
        r#"["a"]"#,
    ] {
        assert_eq!(named(payload), Err(TokenError::Claims), "{payload}");
    }
    let long = "a".repeat(TOKEN_LIMIT_BYTES + 1);
    for token in ["", "a.b", "a.%.c", "a.b.c.d", &long] {
        assert!(unverified_issuer(token).is_err(), "{token:.20}");
    }
}

#[test]
fn roles_of_any_form_make_no_token_invalid() {
    let signer = Signer::eddsa("k1");
    let keys = KeySet::from_jwks(signer.jwks().as_bytes()).unwrap();
    let roles = |profile: &AccessTokenProfile, changes: Value| {
        let token = signer.sign(&claims_with(changes));
        profile.verify(&token, &keys, NOW).unwrap().roles
    };
    for (claim, found) in [
        (json!("admin"), &["admin"][..]),
        (json!([{"value": "admin"}, "user"]), &["admin", "user"]),
        (json!({"admin": true}), &[]),
        (json!([["admin"], 7]), &[]),
    ] {
        assert_eq!(roles(&profile(), json!({"roles": claim})), found, "{claim}");
    }
    for (claim, found) in [("realm_access.roles", ["a", "b"]), ("scope", ["c", "d"])] {
        let elsewhere = AccessTokenProfile {
            roles: claim.parse().unwrap(),
            ..profile()
        };
        let changes = json!({"realm_access": {"roles": ["a", "b"]}, "scope": "c d"});
        assert_eq!(roles(&elsewhere, changes), found, "{claim}");
    }
}

#[test]
fn dates_may_have_a_fraction() {
    let fractions = json!({
        "iat": NOW as f64 - 0.5, "exp": NOW as f64 + 60.25, "nbf": NOW as f64 - 0.75,
    });
    claims_are_accepted(fractions);
}

#[test]
fn a_repeated_claim_is_refused() {
    let signer = Signer::eddsa("k1");
    for more in [
        r#""sub":"admin""#,
        r#""s\u0075b":"admin""#,
        r#""unknown":1,"unknown":1"#,
    ] {
        let text = good_claims().to_string();
        let repeated = text.replacen('{', &format!("{{{more},"), 1);
        let token = signer.sign_as_written(&signer.header(), &repeated);
        assert_eq!(verify_at(&signer, &token, NOW), Err(TokenError::Claims));
    }
}

// The header.

#[test]
fn the_type_is_compared_without_case_and_with_or_without_its_prefix() {
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        header_is_accepted(&format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"k1"}}"#));
    }
}

#[test]
fn each_header_member_that_the_profile_requires_is_required_once() {
    let unexpected = || TokenError::Header("not the expected JSON");
    for header in [
        r#"{"typ":"at+jwt","kid":"k1"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":1}"#,
        r#"{"alg":"EdDSA","typ":["at+jwt"],"kid":"k1"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","kid":"k1"}"#,
        r#"{"alg":"EdDSA","alg":"none","typ":"at+jwt","kid":"k1"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"} {}"#,
        r#"["EdDSA"]"#,
        // As an array in the order of our own fields, which what is derived would take.
        r#"["EdDSA","k1","at+jwt"]"#,
        // Members that nobody reads are members too (RFC 7515 §4).
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","x":1,"x":2}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","\u006bid":"k2"}"#,
    ] {
        header_is_refused(header, unexpected());
    }
}

#[test]
fn an_unencoded_payload_is_refused() {
    for value in ["true", "false", "null"] {
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"k1","b64":{value}}}"#);
        header_is_refused(&header, TokenError::Header("b64"));
    }
}

#[test]
fn a_key_id_is_bounded() {
    let header = |kid: &str| format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#);
    let refused = || TokenError::Header("kid is empty or too long");
    header_is_refused(&header(""), refused());
    header_is_refused(&header(&"k".repeat(129)), refused());
    let kid = "k".repeat(128);
    header_is_refused(&header(&kid), TokenError::UnknownKey { kid });
}

#[test]
fn a_key_offered_by_the_token_itself_is_never_used() {
    let (issuer, attacker) = (Signer::eddsa("k1"), Signer::eddsa("k1"));
    let jwk = attacker.jwk();
    let header = json!({
        "alg": "EdDSA", "typ": "at+jwt", "kid": "k1", "jwk": jwk,
        "jku": "https://attacker.example/keys", "x5u": "https://attacker.example/cert",
        "x5c": ["AAAA"],
    });
    let token = attacker.sign_as_written(&header.to_string(), &good_claims().to_string());
    assert_eq!(verify_at(&issuer, &token, NOW), Err(TokenError::Signature));
}

#[test]
fn the_algorithm_must_be_the_one_of_the_key() {
    for algorithm in [
        "none", "None", "HS256", "RS256", "ES256", "PS256", "eddsa", "",
    ] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"k1"}}"#);
        header_is_refused(&header, TokenError::Algorithm);
    }
}

#[test]
fn a_token_of_another_key_is_refused() {
    let (issuer, other) = (Signer::es256("k1"), Signer::es256("k1"));
    let token = other.sign(&good_claims());
    assert_eq!(verify_at(&issuer, &token, NOW), Err(TokenError::Signature));
}

#[test]
fn an_unknown_key_is_told_apart_because_a_newer_set_may_know_it() {
    let (issuer, next) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let token = next.sign(&good_claims());
    let kid = "k2".to_owned();
    assert_eq!(
        verify_at(&issuer, &token, NOW),
        Err(TokenError::UnknownKey { kid })
    );
}

// The compact form.

#[test]
fn anything_but_three_full_parts_is_refused() {
    let signer = Signer::eddsa("k1");
    let token = signer.sign(&good_claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{token}."),
        format!("{token}.{token}"),
        format!(".{token}"),
    ] {
        let refused = verify_at(&signer, &text, NOW).unwrap_err();
        assert!(matches!(refused, TokenError::Malformed(_)), "{refused:?}");
    }
}

#[test]
fn an_empty_payload_is_no_claims_even_when_it_is_signed() {
    let signer = Signer::eddsa("k1");
    let token = signer.sign_as_written(&signer.header(), "");
    assert_eq!(verify_at(&signer, &token, NOW), Err(TokenError::Claims));
}

#[test]
fn padding_white_space_and_the_other_alphabet_are_refused() {
    let signer = Signer::eddsa("k1");
    let token = signer.sign(&good_claims());
    let (header, rest) = token.split_once('.').unwrap();
    for text in [
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}=.{rest}"),
        format!("+{token}"),
        format!("/{token}"),
    ] {
        assert!(verify_at(&signer, &text, NOW).is_err(), "accepted");
    }
}

#[test]
fn a_token_longer_than_the_limit_is_not_looked_at() {
    let signer = Signer::eddsa("k1");
    let long = "u".repeat(TOKEN_LIMIT_BYTES);
    let token = signer.sign(&claims_with(json!({"sub": long})));
    assert_eq!(verify_at(&signer, &token, NOW), Err(TokenError::TooLong));
}

#[test]
fn no_refusal_shows_any_part_of_the_token() {
    let signer = Signer::eddsa("k1");
    let secret = "do-not-print";
    for token in [
        signer.sign(&claims_with(json!({"iss": secret}))),
        signer.sign(&claims_with(json!({"exp": secret}))),
        Signer::eddsa(secret).sign(&good_claims()),
        format!("{secret}.{secret}.{secret}"),
    ] {
        let refused = verify_at(&signer, &token, NOW).unwrap_err();
        assert!(!refused.to_string().contains(secret), "{refused}");
    }
}

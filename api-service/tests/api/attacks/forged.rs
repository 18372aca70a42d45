//! Tokens that want to be accepted without the issuer's private key, or as something they are not.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Attack, Target, attack};
use crate::signer::encode;

pub(super) fn attacks(target: &Target) -> Vec<Attack> {
    [
        without_a_signature(target),
        signed_with_a_public_key(target),
        of_another_algorithm(target),
        with_their_own_key(target),
        with_a_crafted_signature(target),
        of_another_kind(target),
        with_claims_that_are_not_ours(target),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn unsigned(header: &str, target: &Target) -> String {
    format!("{}.{}", encode(header), encode(target.claims.to_string()))
}

fn without_a_signature(target: &Target) -> Vec<Attack> {
    let good = target.eddsa.sign(&target.claims);
    let signature = good.rsplit_once('.').unwrap().1;
    let mut attacks = Vec::new();
    for alg in [
        r#""none""#,
        r#""None""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""nonE""#,
        r#"" none""#,
        r#""none ""#,
        r#""none\u0000""#,
        r#""\u006eone""#,
        r#""null""#,
        r#""""#,
        "null",
        "[]",
        r#"["none"]"#,
        "0",
        "false",
        r#"{"alg":"none"}"#,
    ] {
        let header = format!(r#"{{"alg":{alg},"typ":"at+jwt","kid":"ed-1"}}"#);
        let signed = unsigned(&header, target);
        for end in ["", ".", ".AA", ".e30", &format!(".{signature}")] {
            attacks.push(attack(
                format!("alg {alg}, end {end:.4}"),
                signed.clone() + end,
            ));
        }
    }
    let missing = unsigned(r#"{"typ":"at+jwt","kid":"ed-1"}"#, target);
    attacks.push(attack("no alg", format!("{missing}.{signature}")));
    attacks
}

fn with_hmac(header: &str, key: &[u8], algorithm: hmac::Algorithm, target: &Target) -> String {
    let signed = unsigned(header, target);
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

/// The key is public, and a verifier that takes its bytes for a secret believes whoever has it.
fn signed_with_a_public_key(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (kid, signer) in [
        ("rsa-1", &target.rs256),
        ("ec-1", &target.es256),
        ("ed-1", &target.eddsa),
    ] {
        let jwk = signer.jwk();
        let main = jwk.get("n").or_else(|| jwk.get("x")).unwrap();
        let text = main.as_str().unwrap().to_owned();
        let raw = URL_SAFE_NO_PAD.decode(&text).unwrap();
        let point = [&[4][..], &raw].concat();
        for (form, key) in [
            ("nothing", Vec::new()),
            ("the kid", kid.as_bytes().to_vec()),
            ("the encoded member", text.clone().into_bytes()),
            ("its bytes", raw),
            ("a point", point),
            ("the key as JSON", jwk.to_string().into_bytes()),
            ("the set", target.key_set().into_bytes()),
        ] {
            for (alg, algorithm) in [
                ("HS256", hmac::HMAC_SHA256),
                ("HS384", hmac::HMAC_SHA384),
                ("HS512", hmac::HMAC_SHA512),
            ] {
                let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string();
                let token = with_hmac(&header, &key, algorithm, target);
                attacks.push(attack(format!("{alg} with {form} of {kid}"), token));
            }
        }
    }
    attacks
}

/// A true signature under the name of another algorithm or key.
fn of_another_algorithm(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let kids = ["rsa-1", "ec-1", "ed-1"];
    let own = [("rsa-1", "RS256"), ("ec-1", "ES256"), ("ed-1", "EdDSA")];
    for (signer, (kid, right)) in target.signers().into_iter().zip(own) {
        for alg in [
            "RS256", "RS384", "RS512", "PS256", "ES256", "ES256K", "ES384", "ES512", "EdDSA",
            "Ed25519", "Ed448", "HS256", "rs256", "es256", "eddsa", "RSA1_5", "dir", "A128KW",
        ] {
            for named in kids {
                // RFC 9864: two names of one algorithm.
                let right = right == alg || (right, alg) == ("EdDSA", "Ed25519");
                if named != kid || !right {
                    let header = json!({"alg": alg, "typ": "at+jwt", "kid": named}).to_string();
                    let token = signer.sign_as_written(&header, &target.claims.to_string());
                    attacks.push(attack(format!("{kid} as {alg} of {named}"), token));
                }
            }
        }
    }
    attacks
}

/// Headers that bring a key or say where one is (RFC 8725 §3.10).
fn with_their_own_key(target: &Target) -> Vec<Attack> {
    let url = |path: &str| format!("{}/{path}", target.trap);
    let jwk = target.attacker.jwk();
    let mut attacks = Vec::new();
    for (what, members) in [
        ("nothing else", json!({})),
        ("jwk", json!({"jwk": jwk})),
        ("jku", json!({"jku": url("jwks.json")})),
        (
            "jku with a fragment",
            json!({"jku": url("jwks.json#https://issuer.example/auth")}),
        ),
        (
            "jku at a look-alike",
            json!({"jku": format!("{}@issuer.example", target.trap)}),
        ),
        ("x5u", json!({"x5u": url("cert.pem")})),
        (
            "x5c",
            json!({"x5c": ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"]}),
        ),
        ("x5t", json!({"x5t": "AAAA", "x5t#S256": "AAAA"})),
        (
            "all",
            json!({"jwk": jwk, "jku": url("a"), "x5u": url("b"), "x5c": ["AA"]}),
        ),
        (
            "wrong types",
            json!({"jwk": url("a"), "jku": [url("b")], "x5u": {"url": url("c")}}),
        ),
    ] {
        for kid in ["ed-1".to_owned(), "unknown".to_owned(), url("kid.json")] {
            let mut header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid});
            header
                .as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            let claims = target.claims.to_string();
            let token = target
                .attacker
                .sign_as_written(&header.to_string(), &claims);
            attacks.push(attack(format!("{what}, kid {kid}"), token));
        }
    }
    attacks
}

fn with_a_crafted_signature(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let names = ["RS256", "ES256", "EdDSA"];
    for (signer, name) in target.signers().into_iter().zip(names) {
        let good = signer.sign(&target.claims);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let right = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let length = right.len();
        for (what, bytes) in [
            ("zeros", vec![0; length]),
            ("ones", vec![0xff; length]),
            ("one byte short", right[..length - 1].to_vec()),
            ("one byte more", [&right[..], &[0]].concat()),
            ("a zero before", [&[0], &right[..]].concat()),
            ("twice", [&right[..], &right].concat()),
            (
                "halves changed",
                [&right[length / 2..], &right[..length / 2]].concat(),
            ),
            ("half", right[..length / 2].to_vec()),
            ("one byte", vec![1]),
            // As other libraries encode ECDSA; JWS has the two numbers alone (RFC 7518 §3.4).
            ("as DER", der(&right)),
            ("with s plus the order", plus_the_order(&right)),
        ] {
            let token = format!("{signed}.{}", encode(bytes));
            attacks.push(attack(format!("{name}: signature {what}"), token));
        }
        let other = signer.signature(b"another message");
        attacks.push(attack(
            format!("{name}: of another message"),
            format!("{signed}.{}", encode(other)),
        ));
        let detached = format!("{}..{signature}", good.split('.').next().unwrap());
        attacks.push(attack(format!("{name}: detached payload"), detached));
    }
    attacks
}

fn der(right: &[u8]) -> Vec<u8> {
    let (r, s) = right.split_at(right.len() / 2);
    let number = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    [&[0x30, 70][..], &number(r), &number(s)].concat()
}

/// For Ed25519: the same signature with another spelling of its second half, which RFC 8032 §5.1.7
/// refuses.
fn plus_the_order(right: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let start = right.len() - ORDER.len();
    let mut changed = right.to_vec();
    let mut carry = 0;
    for (byte, add) in changed[start..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    changed
}

/// Signed by the issuer, for another purpose (RFC 8725 §3.11 and §3.12).
fn of_another_kind(target: &Target) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("logout+jwt"),
        json!("statewise-internal+jwt"),
        json!("secevent+jwt"),
        json!("dpop+jwt"),
        json!("at+jwt "),
        json!("at+jwt\u{0}"),
        json!("text/at+jwt"),
        json!("application/application/at+jwt"),
        json!("at+jwt;x=1"),
        json!(""),
        json!(null),
        json!(["at+jwt"]),
        json!({"at+jwt": 1}),
        json!(1),
    ] {
        let header = json!({"alg": "EdDSA", "typ": typ, "kid": "ed-1"}).to_string();
        let token = target
            .eddsa
            .sign_as_written(&header, &target.claims.to_string());
        attacks.push(attack(format!("typ {typ}"), token));
    }
    let header = json!({"alg": "EdDSA", "kid": "ed-1"}).to_string();
    let token = target
        .eddsa
        .sign_as_written(&header, &target.claims.to_string());
    attacks.push(attack("no typ", token.clone()));
    let nested = json!({"alg": "EdDSA", "typ": "at+jwt", "cty": "JWT", "kid": "ed-1"}).to_string();
    let inner = target.eddsa.sign(&target.claims);
    attacks.push(attack(
        "a token in a token",
        target.eddsa.sign_as_written(&nested, &inner),
    ));
    attacks
}

fn with_claims_that_are_not_ours(target: &Target) -> Vec<Attack> {
    let now = target.claims["iat"].as_u64().unwrap();
    let mut attacks = Vec::new();
    for (name, value) in [
        ("iss", json!("https://issuer.example/auth/")),
        ("iss", json!("https://issuer.example/AUTH")),
        ("iss", json!("https://issuer.example/auth\u{0}")),
        ("iss", json!(["https://issuer.example/auth"])),
        ("aud", json!("statewise-api-2")),
        ("aud", json!("statewise")),
        ("aud", json!([])),
        ("aud", json!([["statewise-api"]])),
        ("aud", json!({"statewise-api": true})),
        ("aud", json!("*")),
        ("exp", json!(now - 31)),
        ("exp", json!(now.to_string())),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(null)),
        ("exp", json!(true)),
        ("iat", json!(now + 3_600)),
        ("iat", json!(0)),
        ("nbf", json!(now + 3_600)),
        ("nbf", json!("later")),
        ("nbf", json!(null)),
        ("sub", json!("")),
        ("sub", json!(0)),
        ("sub", json!(["u-1"])),
    ] {
        let mut claims = target.claims.clone();
        claims[name] = value.clone();
        attacks.push(attack(
            format!("{name} {value}"),
            target.eddsa.sign(&claims),
        ));
    }
    for name in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"] {
        let mut claims = target.claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        attacks.push(attack(format!("no {name}"), target.eddsa.sign(&claims)));
    }
    attacks
}

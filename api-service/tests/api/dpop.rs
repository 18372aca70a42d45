//! The strategy `dpop`: a token is good with a proof of its key, and only so; RFC 9449.

use std::time::Duration;

use api_service::Dpop;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::{
    issuer::{Answer as Keys, Issuer},
    service::{Answer, NEVER, NOW, Service, tokens},
    signer::{Signer, claims, encode},
};

/// Where clients reach the service.
const URL: &str = "https://api.example/dpop";
/// How far the time of a proof may be off, in seconds.
const WINDOW: u64 = 30;

/// The service, and a client with a token that is bound to its key.
struct Setup {
    service: Service,
    issuer: Signer,
    token: String,
    holder: Signer,
    _keys: Issuer,
}

impl Setup {
    async fn new(holder: Signer, proofs: usize) -> Self {
        let issuer = Signer::eddsa("k1");
        let keys = Issuer::start(Keys::Keys(issuer.jwks()));
        let strategy = Dpop {
            tokens: tokens(&keys, NEVER, NEVER),
            url: URL.parse().unwrap(),
            window: Duration::from_secs(WINDOW),
            proofs,
        };
        Self {
            service: Service::ready(strategy.into()).await,
            token: bound(&issuer, &json!({"jkt": thumbprint(&holder.jwk())})),
            issuer,
            holder,
            _keys: keys,
        }
    }

    /// What a proof for `GET /me` says, at the time of the service.
    fn claims(&self, jti: &str) -> Value {
        json!({
            "jti": jti, "htm": "GET", "htu": format!("{URL}/me"), "iat": NOW,
            "ath": sha256(&self.token),
        })
    }

    fn proof(&self, claims: &Value) -> String {
        proof(&self.holder, &header(&self.holder), claims)
    }

    async fn me(&self, proof: &str) -> Answer {
        self.me_with(&self.token, proof).await
    }

    async fn me_with(&self, token: &str, proof: &str) -> Answer {
        let headers = [
            ("authorization", format!("DPoP {token}")),
            ("dpop", proof.to_owned()),
        ];
        self.service.get("/me", &headers).await
    }
}

fn bound(issuer: &Signer, cnf: &Value) -> String {
    let mut claims = claims(NOW, &["user"]);
    claims["cnf"] = cnf.clone();
    issuer.sign(&claims)
}

fn header(holder: &Signer) -> Value {
    let jwk = holder.jwk();
    let algorithm = if jwk["kty"] == "EC" { "ES256" } else { "EdDSA" };
    json!({"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk})
}

fn proof(holder: &Signer, header: &Value, claims: &Value) -> String {
    holder.sign_as_written(&header.to_string(), &claims.to_string())
}

/// RFC 7638.
fn thumbprint(jwk: &Value) -> String {
    let member = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let mut text = format!(
        r#"{{"crv":"{}","kty":"{}","x":"{}""#,
        member("crv"),
        member("kty"),
        member("x")
    );
    if jwk["kty"] == "EC" {
        text.push_str(&format!(r#","y":"{}""#, member("y")));
    }
    sha256(&(text + "}"))
}

fn sha256(text: &str) -> String {
    encode(digest(&SHA256, text.as_bytes()))
}

#[track_caller]
fn is_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    let challenge = answer.header("www-authenticate").unwrap();
    let wanted = "DPoP realm=\"statewise\", algs=\"ES256 EdDSA\"";
    assert!(challenge.starts_with(wanted), "{what}: {challenge}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
}

#[test]
fn the_examples_of_the_rfc_have_their_digests() {
    // §4.2 and §7.1, the access token; §6.1, the key.
    assert_eq!(
        sha256("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
        "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    );
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    });
    assert_eq!(
        thumbprint(&jwk),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_with_a_proof_of_its_key_once() {
    for holder in [Signer::es256("c"), Signer::eddsa("c")] {
        let setup = Setup::new(holder, 100).await;
        let proof = setup.proof(&setup.claims("p-1"));
        let answer = setup.me(&proof).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["strategy"], "dpop");
        assert_eq!(body["username"], "ada");
        is_refused(&setup.me(&proof).await, "the same proof again");
        // Not the text but its id counts: a signature may be made again.
        let again = setup.proof(&setup.claims("p-1"));
        is_refused(&setup.me(&again).await, "the same id again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_compared_without_its_query_and_a_time_within_the_window() {
    let setup = Setup::new(Signer::es256("c"), 100).await;
    for (number, (member, value)) in [
        ("htu", json!(format!("{URL}/me?a=b#c"))),
        ("htu", json!("HTTPS://API.example:443/dpop/me")),
        ("iat", json!(NOW - WINDOW)),
        ("iat", json!(NOW + WINDOW)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = setup.claims(&format!("p-{number}"));
        claims[member] = value;
        let answer = setup.me(&setup.proof(&claims)).await;
        assert_eq!(answer.status, 200, "{claims}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_anything_else_is_refused() {
    let setup = Setup::new(Signer::es256("c"), 100).await;
    for (member, value) in [
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htu", json!(format!("{URL}/admin"))),
        ("htu", json!("https://other.example/dpop/me")),
        ("htu", json!("http://api.example/dpop/me")),
        ("htu", json!("/me")),
        ("iat", json!(NOW - WINDOW - 1)),
        ("iat", json!(NOW + WINDOW + 1)),
        ("iat", json!("now")),
        ("ath", json!(sha256("another token"))),
        ("ath", Value::Null),
        ("jti", Value::Null),
    ] {
        let mut claims = setup.claims("p");
        claims[member] = value;
        let answer = setup.me(&setup.proof(&claims)).await;
        is_refused(&answer, &claims.to_string());
    }
    let claims = setup.claims("p");
    for (member, value) in [
        ("typ", json!("jwt")),
        ("typ", json!("at+jwt")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("EdDSA")),
        ("crit", json!(["exp"])),
        ("jwk", json!({"kty": "oct", "k": encode("secret")})),
        ("jwk", Signer::es256("c").jwk()),
        ("jwk", Value::Null),
    ] {
        let mut header = header(&setup.holder);
        header[member] = value;
        let answer = setup.me(&proof(&setup.holder, &header, &claims)).await;
        is_refused(&answer, &header.to_string());
    }
    let mut private = header(&setup.holder);
    private["jwk"]["d"] = json!(encode([1; 32]));
    let answer = setup.me(&proof(&setup.holder, &private, &claims)).await;
    is_refused(&answer, "a private key");
    let other = Signer::es256("c");
    let answer = setup.me(&proof(&other, &header(&other), &claims)).await;
    is_refused(&answer, "a key that the token is not bound to");
    for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", &"x".repeat(10_000)] {
        is_refused(&setup.me(text).await, text);
    }
    // None of them was counted as used.
    assert_eq!(setup.me(&setup.proof(&claims)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_proof_or_a_key_is_refused() {
    let setup = Setup::new(Signer::es256("c"), 100).await;
    let bearer = ("authorization", format!("Bearer {}", setup.token));
    let dpop = ("authorization", format!("DPoP {}", setup.token));
    let proof = ("dpop", setup.proof(&setup.claims("p")));
    let me = async |headers: &[_]| setup.service.get("/me", headers).await;
    is_refused(&me(&[]).await, "nothing");
    is_refused(&me(std::slice::from_ref(&proof)).await, "a proof alone");
    is_refused(&me(std::slice::from_ref(&dpop)).await, "a token alone");
    is_refused(&me(&[bearer, proof.clone()]).await, "a bearer");
    let twice = me(&[dpop, proof.clone(), proof]).await;
    assert_eq!(twice.status, 400, "{twice:?}");

    let jkt = thumbprint(&Signer::es256("c").jwk());
    for token in [
        setup.issuer.sign(&claims(NOW, &["user"])),
        bound(&setup.issuer, &json!({"jkt": jkt})),
        bound(&setup.issuer, &json!({"jkt": 1})),
        bound(&setup.issuer, &json!({})),
        bound(
            &Signer::eddsa("k1"),
            &json!({"jkt": thumbprint(&setup.holder.jwk())}),
        ),
    ] {
        let mut claims = setup.claims("p");
        claims["ath"] = json!(sha256(&token));
        let answer = setup.me_with(&token, &setup.proof(&claims)).await;
        is_refused(&answer, &token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_as_many_proofs_are_remembered_as_may_be_no_new_one_is_decided() {
    let setup = Setup::new(Signer::es256("c"), 2).await;
    for jti in ["p-1", "p-2"] {
        assert_eq!(setup.me(&setup.proof(&setup.claims(jti))).await.status, 200);
    }
    let third = setup.proof(&setup.claims("p-3"));
    setup.me(&third).await.is_undecidable();
    setup
        .service
        .clock
        .advance(Duration::from_secs(2 * WINDOW + 1));
    let mut claims = setup.claims("p-4");
    claims["iat"] = json!(NOW + 2 * WINDOW + 1);
    let answer = setup.me(&setup.proof(&claims)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

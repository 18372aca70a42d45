//! Attacks on tokens, over a real socket against the real binary: each is refused like any other
//! bad token, whatever is wrong with it, makes no connection, and leaves no trace in the logs.

mod forged;
mod malformed;

use std::{net::TcpListener, time::SystemTime};

use serde_json::{Value, json};

use crate::{
    issuer::{Answer, Issuer},
    process::{Process, Reply},
    redis::Redis,
    revocable,
    signer::{self, Signer},
};

/// A token that must be refused.
pub(super) struct Attack {
    what: String,
    token: Vec<u8>,
}

pub(super) fn attack(what: impl Into<String>, token: impl Into<Vec<u8>>) -> Attack {
    Attack {
        what: what.into(),
        token: token.into(),
    }
}

/// What an attacker knows and has: the issuer's public keys, good tokens, and a key of their own.
/// For claims that an issuer would never sign there is its private key as well.
pub(super) struct Target {
    rs256: Signer,
    es256: Signer,
    eddsa: Signer,
    attacker: Signer,
    claims: Value,
    /// Where a verifier that fetches what a token tells it to would call.
    trap: String,
}

impl Target {
    fn new(trap: &TcpListener) -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        Self {
            rs256: Signer::rs256("rsa-1"),
            es256: Signer::es256("ec-1"),
            eddsa: Signer::eddsa("ed-1"),
            attacker: Signer::eddsa("ed-1"),
            claims: signer::claims(now.as_secs(), &["user"]),
            trap: format!("http://{}", trap.local_addr().unwrap()),
        }
    }

    fn signers(&self) -> [&Signer; 3] {
        [&self.rs256, &self.es256, &self.eddsa]
    }

    fn key_set(&self) -> String {
        json!({"keys": self.signers().map(Signer::jwk)}).to_string()
    }
}

/// Whether it is the answer to every bad token, all of it: whoever attacks learns nothing.
fn is_the_refusal(reply: &Reply) -> bool {
    let expected = json!({
        "type": "urn:problem-type:statewise:invalid-credential",
        "title": "The credential is not valid", "status": 401,
    });
    let challenge = "Bearer realm=\"statewise\", error=\"invalid_token\"";
    reply.status == 401
        && reply.all("www-authenticate") == [challenge]
        && reply.all("cache-control") == ["no-store"]
        && reply.all("content-type") == ["application/problem+json"]
        && reply.all("set-cookie").is_empty()
        && serde_json::from_str(&reply.body).ok() == Some(expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_a_token_is_one_more_bad_token() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let target = Target::new(&trap);
    let issuer = Issuer::start(Answer::Keys(target.key_set()));
    let mut attacks = forged::attacks(&target);
    attacks.extend(malformed::attacks(&target));
    let redis = Redis::start();
    let _feed = revocable::feed(&redis).await;
    let store = redis.url();
    let other = Issuer::start(Answer::Keys(Signer::rs256("rsa-1").jwks()));
    let others =
        json!([{"issuer": "https://other.example", "jwks_url": other.url().as_str()}]).to_string();
    for more in [
        &[("API_STRATEGY", "jwt")][..],
        &[("API_STRATEGY", "jwt"), ("API_REMEMBERED_TOKENS", "1000")],
        &[
            ("API_STRATEGY", "jwt"),
            ("API_REMEMBERED_TOKENS", "1000"),
            ("API_OTHER_ISSUERS", &others),
        ],
        &[("API_STRATEGY", "phantom")],
        &[("API_STRATEGY", "jwt-revocable"), ("API_REDIS_URL", &store)],
    ] {
        let service = Process::start(more, &issuer);
        are_refused(&service, &target, &attacks);
        let log = service.log();
        assert!(!log.contains("panicked"), "{log}");
        for attack in &attacks {
            is_not_logged(&log, attack);
        }
    }
    eprintln!("{} attacks", attacks.len());
    assert!(attacks.len() > 500, "only {} attacks", attacks.len());
    let called = trap.accept();
    assert!(
        called.is_err(),
        "a header made the service call: {called:?}"
    );
}

fn are_refused(service: &Process, target: &Target, attacks: &[Attack]) {
    let good = target.signers().map(|signer| signer.sign(&target.claims));
    for token in &good {
        assert_eq!(service.me(token.as_bytes()).status, 200);
    }
    let answered: Vec<(&str, Reply)> = attacks
        .iter()
        .map(|attack| (attack.what.as_str(), service.me(&attack.token)))
        .filter(|(_, reply)| !is_the_refusal(reply))
        .collect();
    assert!(answered.is_empty(), "answered otherwise: {answered:#?}");
    // Nothing of it has changed what is accepted.
    for token in &good {
        assert_eq!(service.me(token.as_bytes()).status, 200);
    }
}

/// No part of a token that is long enough to be one is in the text.
#[track_caller]
fn is_not_logged(text: &str, attack: &Attack) {
    for part in attack.token.split(|byte| *byte == b'.' || *byte == b' ') {
        let Ok(part) = std::str::from_utf8(part) else {
            continue;
        };
        let logged = part.len() >= 12 && text.contains(part);
        assert!(!logged, "{}: the log tells {part}", attack.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_header_may_hold_is_refused_before_it_is_read() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::new(&trap);
    let issuer = Issuer::start(Answer::Keys(target.key_set()));
    let service = Process::start(&[("API_STRATEGY", "jwt")], &issuer);
    let good = target.eddsa.sign(&target.claims);
    let inside = |bytes: &[u8]| [&good.as_bytes()[..40], bytes, &good.as_bytes()[40..]].concat();
    for (what, token, statuses) in [
        ("NUL", inside(b"\0"), &[400][..]),
        ("a bare LF", inside(b"\n"), &[400]),
        ("a bare CR", inside(b"\r"), &[400]),
        ("a folded line", inside(b"\r\n "), &[400, 401]),
        ("DEL", inside(b"\x7f"), &[400, 401]),
        ("a megabyte", vec![b'a'; 1 << 20], &[400, 431]),
    ] {
        let reply = service.me(&token);
        assert!(statuses.contains(&reply.status), "{what}: {reply:?}");
        assert!(!reply.body.contains(&good[..40]), "{what}: {reply:?}");
    }
    assert_eq!(service.me(good.as_bytes()).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_from_one_authorization_header_and_from_nowhere_else() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::new(&trap);
    let issuer = Issuer::start(Answer::Keys(target.key_set()));
    let service = Process::start(&[("API_STRATEGY", "jwt")], &issuer);
    let good = target.eddsa.sign(&target.claims);
    let bad = target.attacker.sign(&target.claims);
    const BARE: &str = "Bearer realm=\"statewise\"";
    const INVALID_TOKEN: &str = "Bearer realm=\"statewise\", error=\"invalid_token\"";
    const INVALID_REQUEST: &str = "Bearer realm=\"statewise\", error=\"invalid_request\"";
    for (query, headers, status, challenge) in [
        (String::new(), vec![], 401, BARE),
        (format!("?access_token={good}"), vec![], 401, BARE),
        (
            String::new(),
            vec![("cookie", format!("access_token={good}"))],
            401,
            BARE,
        ),
        (
            String::new(),
            vec![("authorization", format!("Basic {good}"))],
            401,
            BARE,
        ),
        (
            String::new(),
            vec![("authorization", format!("Bearer\t{good}"))],
            401,
            BARE,
        ),
        (
            String::new(),
            vec![("authorization", format!("Bearer {good}, Bearer {bad}"))],
            401,
            INVALID_TOKEN,
        ),
        (
            String::new(),
            vec![("authorization", format!("Bearer Bearer {good}"))],
            401,
            INVALID_TOKEN,
        ),
        (
            String::new(),
            vec![("authorization", "Bearer ".to_owned())],
            401,
            INVALID_TOKEN,
        ),
        (
            String::new(),
            vec![
                ("authorization", format!("Bearer {good}")),
                ("authorization", format!("Bearer {good}")),
            ],
            400,
            INVALID_REQUEST,
        ),
        (
            String::new(),
            vec![
                ("authorization", format!("Basic {good}")),
                ("authorization", format!("Bearer {good}")),
            ],
            400,
            INVALID_REQUEST,
        ),
    ] {
        let reply = service.get(&format!("/me{query}"), &headers);
        assert_eq!(reply.status, status, "{headers:?}: {reply:?}");
        assert_eq!(reply.all("www-authenticate"), [challenge], "{headers:?}");
    }
    assert!(!service.log().contains(&good[..40]));
}

//! Keys that are found by the issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414).

use std::time::Duration;

use api_service::{Discovery, Jwt, KeySource, StrategyConfig, TokenSettings};
use serde_json::{Value, json};

use crate::{
    eventually,
    issuer::{Answer, Issuer},
    service::{NEVER, NOW, Service, trusted},
    signer::{Signer, claims},
};

const SOON: Duration = Duration::from_millis(20);
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn document(members: Value) -> Answer {
    Answer::Other(200, members.to_string())
}

/// Trusts the issuer of this name, wherever its keys are.
fn discovering(name: &str, refresh: Duration) -> StrategyConfig {
    let keys = KeySource::Discovered(Discovery::new(name, false).unwrap());
    StrategyConfig::from(Jwt(TokenSettings {
        issuer: trusted(name, keys, refresh, SOON),
        others: Vec::new(),
        remembered: 0,
    }))
}

fn token(signer: &Signer, name: &str) -> String {
    let mut claims = claims(NOW, &["user"]);
    claims["iss"] = name.into();
    signer.sign(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_are_found_at_the_places_of_both_standards() {
    let signer = Signer::es256("k1");
    for (path, place) in [
        ("", OPENID.to_owned()),
        ("", OAUTH.to_owned()),
        ("/realms/a", format!("/realms/a{OPENID}")),
        ("/realms/a", format!("{OAUTH}/realms/a")),
        // The name ends with a slash, and the place is without it.
        ("/", OPENID.to_owned()),
        ("/realms/a/", format!("{OAUTH}/realms/a")),
    ] {
        let issuer = Issuer::start(Answer::Keys(signer.jwks()));
        let name = issuer.base() + path;
        let metadata =
            json!({"issuer": name, "jwks_uri": issuer.url().as_str(), "scopes_supported": []});
        issuer.answers_at(&place, document(metadata));
        let service = Service::ready(discovering(&name, NEVER)).await;
        assert_eq!(
            service.me(&token(&signer, &name)).await.status,
            200,
            "{place}"
        );
        assert_eq!(issuer.asked(), 1, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_moves_its_keys_is_followed_and_one_that_says_nothing_keeps_them() {
    let (old, new, unknown) = (
        Signer::es256("k1"),
        Signer::eddsa("k2"),
        Signer::es256("k3"),
    );
    let issuer = Issuer::start(Answer::Keys(old.jwks()));
    let name = issuer.base();
    let at = |url: String| document(json!({"issuer": name, "jwks_uri": url}));
    issuer.answers_at(OPENID, at(issuer.url().to_string()));
    let service = Service::ready(discovering(&name, SOON)).await;
    assert_eq!(service.me(&token(&old, &name)).await.status, 200);

    issuer.answers_at("/moved", Answer::Keys(new.jwks()));
    issuer.answers_at(OPENID, at(format!("{name}/moved")));
    eventually(async || service.me(&token(&new, &name)).await.status == 200).await;
    assert_eq!(service.me(&token(&old, &name)).await.status, 401);

    issuer.answers_at(OPENID, Answer::Other(503, String::new()));
    let failed = format!("statewise_jwks_fetches_total{{issuer=\"{name}\",outcome=\"refused\"}}");
    eventually(async || service.measures(&failed).await).await;
    assert_eq!(service.me(&token(&new, &name)).await.status, 200);
    service.me(&token(&unknown, &name)).await.is_undecidable();
    assert_eq!(service.get("/readyz", &[]).await.status, 200);
}

/// Each is a dependency's failure, and none has anything asked elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_cannot_be_believed_give_no_keys_and_say_why() {
    let signer = Signer::es256("k1");
    let elsewhere = Issuer::start(Answer::Keys(signer.jwks()));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let name = issuer.base() + "/realm";
    let at = format!("/realm{OPENID}");
    let keys = issuer.url().to_string();
    let service = Service::start(discovering(&name, SOON));
    let whole = json!({"issuer": elsewhere.base(), "jwks_uri": elsewhere.url().as_str()});
    elsewhere.answers_at(OPENID, document(whole.clone()));
    for (answer, says) in [
        (document(whole), "of another issuer"),
        (
            document(json!({"issuer": format!("{name}/"), "jwks_uri": keys})),
            "of another issuer",
        ),
        (
            document(json!({"issuer": issuer.base(), "jwks_uri": keys})),
            "of another issuer",
        ),
        (document(json!({"jwks_uri": keys})), "no JSON object"),
        (document(json!({"issuer": name})), "no JSON object"),
        (document(json!([name, keys])), "no JSON object"),
        (Answer::Other(200, "<html>".to_owned()), "no JSON object"),
        (
            document(json!({"issuer": name, "jwks_uri": "http://192.0.2.1/jwks.json"})),
            "is no URL of https",
        ),
        (
            document(json!({"issuer": name, "jwks_uri": "file:///etc/passwd"})),
            "is no URL of https",
        ),
        (Answer::Other(200, " ".repeat(300 * 1024)), "larger than"),
        (
            Answer::Other(500, String::new()),
            "its metadata: the answer was 500",
        ),
        // Not at the other place either.
        (
            Answer::Other(404, String::new()),
            "its metadata: the answer was 404",
        ),
        (
            Answer::Elsewhere(format!("{}{OPENID}", elsewhere.base())),
            "its metadata: the answer was 404",
        ),
        (Answer::Never, "nobody was reached"),
    ] {
        let what = format!("{answer:.200?}");
        issuer.answers_at(&at, answer);
        eventually(async || {
            let readiness = service.get("/readyz", &[]).await;
            assert_eq!(readiness.status, 503, "{what}");
            readiness.body.contains(&name) && readiness.body.contains(says)
        })
        .await;
        service.me(&token(&signer, &name)).await.is_undecidable();
    }
    assert_eq!(elsewhere.asked() + elsewhere.asked_elsewhere(), 0);
    assert_eq!(issuer.asked(), 0, "keys were fetched by metadata of nobody");

    issuer.answers_at(&at, document(json!({"issuer": name, "jwks_uri": keys})));
    eventually(async || service.me(&token(&signer, &name)).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_keys_are_told_apart_from_metadata_that_are_none() {
    let issuer = Issuer::start(Answer::Keys(json!({"keys": []}).to_string()));
    let name = issuer.base();
    issuer.answers_at(
        OPENID,
        document(json!({"issuer": name, "jwks_uri": issuer.url().as_str()})),
    );
    let service = Service::start(discovering(&name, SOON));
    eventually(async || {
        let readiness = service.get("/readyz", &[]).await;
        readiness.body.contains("its key set: none of the 0 keys")
    })
    .await;
}

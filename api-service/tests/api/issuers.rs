//! Several trusted issuers: each vouches for its own tokens and for nobody else's.

use std::{cell::Cell, time::Duration};

use api_service::{IssuerSettings, Jwt, JwtRevocable, KeySource, StrategyConfig, TokenSettings};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};
use shared::revocation::{Entry, FollowerSettings, Publication, Revoked, WhenStale};
use tokio::runtime::Runtime;

use crate::{
    eventually,
    issuer::{Answer, Issuer},
    keys::{join_all, of_issuer},
    redis::{Redis, Sessions as _},
    revocable,
    service::{self, NEVER, NOW, Service, state_keys, trusted},
    signer::{AUDIENCE, ISSUER, Signer, claims},
};

const SOON: Duration = Duration::from_millis(20);
const OTHER: &str = "https://other.example";
const THIRD: &str = "https://third.example/realm";

/// An issuer with its private key, as a test plays it.
struct Party {
    name: &'static str,
    audience: &'static str,
    signer: Signer,
    issuer: Issuer,
}

impl Party {
    fn new(name: &'static str, audience: &'static str, signer: Signer) -> Self {
        let issuer = Issuer::start(Answer::Keys(signer.jwks()));
        Self {
            name,
            audience,
            signer,
            issuer,
        }
    }

    fn trusted(&self, cooldown: Duration) -> IssuerSettings {
        let keys = KeySource::At(self.issuer.url());
        let mut settings = trusted(self.name, keys, NEVER, cooldown);
        settings.profile.audience = self.audience.to_owned();
        settings
    }

    fn claims(&self) -> Value {
        let mut claims = claims(NOW, &["user"]);
        claims["iss"] = self.name.into();
        claims["aud"] = self.audience.into();
        claims
    }

    fn token(&self) -> String {
        self.signer.sign(&self.claims())
    }
}

/// Three parties of different algorithms, all of whose keys have one id.
fn parties() -> [Party; 3] {
    [
        Party::new(ISSUER, AUDIENCE, Signer::rs256("k1")),
        Party::new(OTHER, "partners", Signer::es256("k1")),
        Party::new(THIRD, "readers", Signer::eddsa("k1")),
    ]
}

fn settings(parties: &[Party], remembered: usize) -> TokenSettings {
    let mut issuers = parties.iter().map(|party| party.trusted(NEVER));
    TokenSettings {
        issuer: issuers.next().unwrap(),
        others: issuers.collect(),
        remembered,
    }
}

fn jwt(settings: TokenSettings) -> StrategyConfig {
    Jwt(settings).into()
}

/// The token with its issuer's name only, as if another key had signed it.
fn foreign(name: &str, number: usize) -> String {
    let mut claims = claims(NOW, &["admin"]);
    claims["iss"] = name.into();
    Signer::eddsa(&format!("foreign-{number}")).sign(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_issuer_has_its_own_keys_audience_and_algorithm_and_its_callers_are_told_apart() {
    let parties = parties();
    for remembered in [0, 10] {
        let service = Service::ready(jwt(settings(&parties, remembered))).await;
        for _ in 0..3 {
            for party in &parties {
                let answer = service.me(&party.token()).await;
                assert_eq!(answer.status, 200, "{}: {answer:?}", party.name);
                let named = answer.json().get("issuer").cloned();
                // The first is the service's own: what is said of it has not changed.
                let wanted = (party.name != ISSUER).then(|| json!(party.name));
                assert_eq!(named, wanted);
            }
        }
        for party in &parties {
            for metric in [
                "statewise_jwks_keys",
                "statewise_issuer_clock_difference_seconds",
            ] {
                let line = of_issuer(metric, party.name);
                assert!(service.measures(&line).await, "{line}");
            }
        }
    }
}

/// RFC 8725 §3.8, over every way to put together a name, a key, its id, an audience and an algorithm.
#[test]
fn no_pairing_of_issuer_and_key_other_than_the_configured_one_is_accepted() {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let parties = parties();
    let stranger = Signer::es256("k1");
    let services = [0, 100].map(|remembered| {
        let strategy = jwt(settings(&parties, remembered));
        runtime.block_on(Service::ready(strategy))
    });
    let names = prop_oneof![
        6 => (0..3_usize).prop_map(|one| [ISSUER, OTHER, THIRD][one].to_owned()),
        1 => (0..3_usize, any::<prop::sample::Index>(), any::<char>()).prop_map(|(one, place, more)| {
            let mut name = [ISSUER, OTHER, THIRD][one].to_owned();
            name.insert(place.index(name.len()), more);
            name
        }),
        1 => (0..3_usize).prop_map(|one| format!("{}/", [ISSUER, OTHER, THIRD][one])),
    ];
    let case = (names, 0..4_usize, 0..4_usize, 0..5_usize);
    let mut runner = TestRunner::new(Config::with_cases(500));
    let accepted = Cell::new(0);
    runner
        .run(&case, |(name, signer, audience, header)| {
            let audience = [AUDIENCE, "partners", "readers", "nobody"][audience];
            let signer = if signer < 3 {
                &parties[signer].signer
            } else {
                &stranger
            };
            let mut claims = claims(NOW, &["user"]);
            claims["iss"] = name.clone().into();
            claims["aud"] = audience.into();
            // The header of its own key, or what says that another one's signed.
            let header = match header {
                claimed @ 0..3 => parties[claimed].signer.header(),
                _ => signer.header(),
            };
            let token = signer.sign_as_written(&header, &claims.to_string());
            let right = parties.iter().any(|party| {
                party.name == name
                    && party.audience == audience
                    && std::ptr::eq(&party.signer, signer)
                    && party.signer.header() == header
            });
            for service in &services {
                let status = runtime.block_on(service.me(&token)).status;
                prop_assert_eq!(status, if right { 200 } else { 401 });
            }
            accepted.set(accepted.get() + usize::from(right));
            Ok::<(), TestCaseError>(())
        })
        .unwrap();
    assert!(accepted.get() > 0, "nothing was accepted");
    // And that without asking anybody again: every key has the id that all of them know.
    for party in &parties {
        assert_eq!(party.issuer.asked(), services.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_that_an_issuer_may_not_use_is_refused_though_it_publishes_such_a_key() {
    let (first, old) = (Signer::es256("k1"), Signer::rs256("k2"));
    let both = json!({"keys": [first.jwk(), old.jwk()]}).to_string();
    let issuer = Issuer::start(Answer::Keys(both));
    let mut settings = service::tokens(&issuer, NEVER, NEVER);
    let token = old.sign(&claims(NOW, &["user"]));
    assert_eq!(
        Service::ready(jwt(settings.clone()))
            .await
            .me(&token)
            .await
            .status,
        200
    );
    settings.issuer.profile.algorithms = "ES256".parse().unwrap();
    let service = Service::ready(jwt(settings)).await;
    assert_eq!(service.me(&token).await.status, 401);
    assert_eq!(
        service
            .me(&first.sign(&claims(NOW, &["user"])))
            .await
            .status,
        200
    );
}

/// With one issuer and with several.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_issuers_that_nobody_trusts_cost_no_request_and_leave_nothing() {
    let parties = parties();
    for trusted in [&parties[..1], &parties[..]] {
        let before: Vec<usize> = trusted.iter().map(|party| party.issuer.asked()).collect();
        let mut settings = settings(trusted, 10);
        // Any unknown key that is worth a question would be one.
        settings.issuer.jwks.cooldown = Duration::ZERO;
        for other in &mut settings.others {
            other.jwks.cooldown = Duration::ZERO;
        }
        let service = Service::ready(jwt(settings)).await;
        let series = async || {
            let text = service.get("/metrics", &[]).await.body;
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines
                .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
                .collect::<Vec<_>>()
        };
        let unknown =
            |number: usize| foreign(&format!("https://stranger-{number}.example"), number);
        assert_eq!(service.me(&unknown(0)).await.status, 401);
        series().await;
        // With that of being asked.
        let known = series().await;
        for batch in (1..=1_000).collect::<Vec<_>>().chunks(50) {
            let tokens: Vec<_> = batch.iter().map(|number| unknown(*number)).collect();
            for answer in join_all(tokens.iter().map(|token| service.me(token))).await {
                assert_eq!(answer.status, 401, "{answer:?}");
            }
        }
        assert_eq!(series().await, known, "a stranger added a series");
        let issuer = "statewise_refusals_total{strategy=\"jwt\",reason=\"token_issuer\"} 1001";
        assert!(service.measures(issuer).await);
        for (party, before) in trusted.iter().zip(before) {
            assert_eq!(
                party.issuer.asked(),
                before + 1,
                "{} was asked again",
                party.name
            );
        }
        assert_eq!(service.me(&trusted[0].token()).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_whose_keys_cannot_be_fetched_takes_nobody_elses_callers_along() {
    let mut parties = parties();
    parties[1].issuer.stop().await;
    let service = Service::start(jwt(settings(&parties, 0)));
    let readiness = async || service.get("/readyz", &[]).await;
    // Ready, once it is known that one of them does not answer; and it is named.
    eventually(async || readiness().await.status == 200).await;
    let body = readiness().await.body;
    assert!(
        body.contains(OTHER) && body.contains("nobody was reached"),
        "{body}"
    );
    assert!(!body.contains(ISSUER) && !body.contains(THIRD), "{body}");
    for at in [0, 2] {
        assert_eq!(service.me(&parties[at].token()).await.status, 200);
    }
    service.me(&parties[1].token()).await.is_undecidable();
    // What is known without its keys is said.
    assert_eq!(
        service.me(&foreign("https://x.example", 1)).await.status,
        401
    );
    let failed =
        format!("statewise_jwks_fetches_total{{issuer=\"{OTHER}\",outcome=\"unreachable\"}}");
    assert!(service.measures(&failed).await);

    parties[1].issuer.resume();
    let token = parties[1].token();
    eventually(async || service.me(&token).await.status == 200).await;
    assert!(!readiness().await.body.contains(OTHER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_not_ready_before_it_has_tried_to_fetch_the_keys_of_each_issuer() {
    let parties = parties();
    parties[1].issuer.answers(Answer::Never);
    let service = Service::start(jwt(settings(&parties, 0)));
    eventually(async || service.me(&parties[0].token()).await.status == 200).await;
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
    // Which takes two seconds.
    let failed =
        format!("statewise_jwks_fetches_total{{issuer=\"{OTHER}\",outcome=\"unreachable\"}}");
    assert!(service.measures(&failed).await, "it was ready before");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_keys_of_any_issuer_a_replica_is_not_ready_and_names_all() {
    let mut parties = parties();
    for party in &mut parties {
        party.issuer.stop().await;
    }
    let service = Service::start(jwt(settings(&parties, 0)));
    eventually(async || {
        let readiness = service.get("/readyz", &[]).await;
        assert_eq!(readiness.status, 503);
        let failed = readiness.body.matches("nobody was reached").count();
        failed == 3
            && parties
                .iter()
                .all(|party| readiness.body.contains(party.name))
    })
    .await;
    for party in &parties {
        service.me(&party.token()).await.is_undecidable();
    }
    // Whose a token of nobody is needs no key.
    let nobodys = foreign("https://x.example", 1);
    assert_eq!(service.me(&nobodys).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_issuer_hangs_a_new_key_of_another_is_found() {
    let parties = parties();
    let service = Service::ready(jwt(settings(&parties, 0))).await;
    let (next, unknown) = (Signer::es256("k2"), Signer::rs256("k9"));
    parties[0].issuer.answers(Answer::Never);
    parties[1].issuer.answers(Answer::Keys(next.jwks()));
    let hanging = unknown.sign(&parties[0].claims());
    let hanging = service.me(&hanging);
    tokio::pin!(hanging);
    let others = async {
        eventually(async || parties[0].issuer.asked() == 2).await;
        assert_eq!(
            service.me(&next.sign(&parties[1].claims())).await.status,
            200
        );
        assert_eq!(service.me(&parties[0].token()).await.status, 200);
        assert_eq!(service.me(&parties[2].token()).await.status, 200);
    };
    tokio::select! {
        biased;
        answer = &mut hanging => panic!("decided while the issuer hangs: {answer:?}"),
        () = others => {}
    }
    hanging.await.is_undecidable();
    assert_eq!(parties[2].issuer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_leaves_takes_the_remembered_tokens_of_its_issuer_along_and_no_others() {
    let parties = parties();
    let mut settings = settings(&parties, 100);
    for issuer in std::iter::once(&mut settings.issuer).chain(&mut settings.others) {
        issuer.jwks.refresh = SOON;
    }
    let service = Service::ready(jwt(settings)).await;
    let tokens = parties.each_ref().map(Party::token);
    for token in &tokens {
        assert_eq!(service.me(token).await.status, 200);
    }
    let next = Signer::es256("k2");
    parties[1].issuer.answers(Answer::Keys(next.jwks()));
    let before = parties[1].issuer.asked();
    // The second fetch from now on began after the answer was changed; the third ends it.
    eventually(async || parties[1].issuer.asked() >= before + 3).await;
    assert_eq!(service.me(&tokens[1]).await.status, 401);
    assert_eq!(
        service.me(&next.sign(&parties[1].claims())).await.status,
        200
    );
    for at in [0, 2] {
        assert_eq!(service.me(&tokens[at]).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_is_that_of_the_services_own_issuer() {
    let parties = parties();
    let redis = Redis::start();
    let feed = revocable::feed(&redis).await;
    let strategy = JwtRevocable {
        tokens: settings(&parties, 0),
        revocations: FollowerSettings {
            store: redis.settings(),
            max_age: NEVER,
            when_stale: WhenStale::Refuse,
        },
    };
    let service = Service::ready(strategy.into()).await;
    let tokens = parties.each_ref().map(Party::token);
    // The same ids everywhere.
    let revoked = ["t-1", "s-1"].map(str::to_owned);
    let [token, session] = revoked;
    let user = Revoked::User {
        id: "u-1".to_owned(),
        before: NOW,
        generation: None,
        except: None,
    };
    for revoked in [
        Revoked::Token { id: token },
        Revoked::Session { id: session },
        user,
    ] {
        let until = NOW + 930;
        let entry = [Entry { revoked, until }];
        let publication = feed.publish(&entry, NOW, None).await.unwrap();
        assert!(matches!(publication, Publication::Published(_)));
    }
    // Of the user only, which was the last to be published.
    let mut claims = parties[0].claims();
    claims["jti"] = json!("t-2");
    claims["sid"] = json!("s-2");
    let last = parties[0].signer.sign(&claims);
    eventually(async || service.me(&last).await.status == 401).await;
    assert_eq!(service.me(&tokens[0]).await.status, 401);
    for other in &tokens[1..] {
        assert_eq!(service.me(other).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_carries_opens_for_the_issuer_of_its_login_only() {
    let parties = parties();
    let service = Service::ready_with(jwt(settings(&parties, 0)), state_keys(&[("a", 1)])).await;
    let ask = async |method: Method, at: usize, state: Option<&str>, body: &'static str| {
        let mut headers = vec![
            ("authorization", format!("Bearer {}", parties[at].token())),
            ("content-type", "application/json".to_owned()),
            ("if-match", "\"0\"".to_owned()),
        ];
        headers.extend(state.map(|state| ("statewise-state", state.to_owned())));
        service.send_body(method, "/cart", &headers, body).await
    };
    let tea = r#"{"items":[{"sku":"tea","quantity":2}]}"#;
    let mut states = Vec::new();
    for at in 0..3 {
        let answer = ask(Method::PUT, at, None, tea).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        states.push(answer.header("statewise-state").unwrap().to_owned());
    }
    // The subjects and the logins of all three have the same ids.
    for (owner, state) in states.iter().enumerate() {
        for at in 0..3 {
            let answer = ask(Method::GET, at, Some(state), "").await;
            assert_eq!(
                answer.body.contains("tea"),
                owner == at,
                "{owner} {at}: {answer:?}"
            );
        }
    }
}

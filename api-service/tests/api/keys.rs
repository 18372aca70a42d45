//! The key set: where it comes from, how it is renewed, and what happens when it cannot be.

use std::time::{Duration, Instant, UNIX_EPOCH};

use api_service::{Jwt, StrategyConfig, TokenSettings};
use serde_json::json;

use crate::{
    eventually,
    issuer::{Answer, Issuer},
    service::{NEVER, NOW, Service, jwt, tokens},
    signer::{ISSUER, Signer, claims},
};

const SOON: Duration = Duration::from_millis(20);

fn good(signer: &Signer) -> String {
    signer.sign(&claims(NOW, &["user"]))
}

/// How a line of the metrics begins that is about one issuer.
pub(crate) fn of_issuer(metric: &str, issuer: &str) -> String {
    format!("{metric}{{issuer=\"{issuer}\"}}")
}

/// The same of fetches that ended so.
fn fetches(outcome: &str) -> String {
    format!("statewise_jwks_fetches_total{{issuer=\"{ISSUER}\",outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_service_is_not_ready_and_decides_nothing_until_the_issuer_comes() {
    let signer = Signer::eddsa("k1");
    let mut issuer = Issuer::absent(Answer::Keys(signer.jwks()));
    let service = Service::start(jwt(&issuer, NEVER, NEVER));
    let readiness = service.get("/readyz", &[]).await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.body.contains("jwks"), "{}", readiness.body);
    let says_why = async || {
        let body = service.get("/readyz", &[]).await.body;
        body.contains("nobody was reached") && body.contains("Connection refused")
    };
    eventually(says_why).await;
    assert_eq!(service.get("/healthz", &[]).await.status, 200);
    service.me(&good(&signer)).await.is_undecidable();
    assert_eq!(service.get("/me", &[]).await.status, 401);

    issuer.resume();
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
    assert_eq!(service.me(&good(&signer)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_algorithm_are_accepted() {
    for signer in [
        Signer::rs256("k1"),
        Signer::es256("k1"),
        Signer::eddsa("k1"),
    ] {
        let issuer = Issuer::start(Answer::Keys(signer.jwks()));
        let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
        assert_eq!(service.me(&good(&signer)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_found_at_the_first_token_that_names_it() {
    let (old, new) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let issuer = Issuer::start(Answer::Keys(old.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
    issuer.answers(Answer::Keys(new.jwks()));
    assert_eq!(service.me(&good(&new)).await.status, 200);
    assert_eq!(issuer.asked(), 2);
    // The issuer has taken the old key back.
    assert_eq!(service.me(&good(&old)).await.status, 401);
    assert_eq!(issuer.asked(), 2, "asked again within the cool-down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_makes_one_fetch_in_a_cool_down() {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
    let token = |number: usize| good(&Signer::eddsa(&format!("flood-{number}")));
    let tokens: Vec<String> = (0..64).map(token).collect();
    for _ in 0..2 {
        let answers = tokens.iter().map(|token| service.me(token));
        for answer in join_all(answers).await {
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    assert_eq!(issuer.asked(), 2, "one before ready, one for the flood");
    assert_eq!(service.me(&good(&signer)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_withdrawn_takes_the_remembered_tokens_along() {
    let (old, new) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let issuer = Issuer::start(Answer::Keys(old.jwks()));
    let remembering = TokenSettings {
        remembered: 100,
        ..tokens(&issuer, SOON, NEVER)
    };
    let service = Service::ready(StrategyConfig::from(Jwt(remembering))).await;
    let token = good(&old);
    let hit = "statewise_remembered_tokens_total{event=\"hit\"} ";
    while service.measures(&format!("{hit}0")).await {
        assert_eq!(service.me(&token).await.status, 200);
    }
    issuer.answers(Answer::Keys(new.jwks()));
    let before = issuer.asked();
    // The second fetch from now on began after the answer was changed; the third ends it.
    eventually(async || issuer.asked() >= before + 3).await;
    for _ in 0..8 {
        assert_eq!(service.me(&token).await.status, 401);
    }
    assert_eq!(service.me(&good(&new)).await.status, 200);
    let dropped = "statewise_remembered_tokens_total{event=\"key_gone\"} 0";
    assert!(!service.measures(dropped).await);
}

/// Over several cool-downs, under load by good tokens, and with a key that the issuer adds meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_a_thousand_unknown_keys_makes_one_fetch_in_each_cool_down() {
    const COOLDOWN: Duration = Duration::from_millis(500);
    let (signer, next) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, COOLDOWN)).await;
    let foreign = |number: usize| good(&Signer::eddsa(&format!("flood-{number}")));
    let tokens: Vec<String> = (0..1_000).map(foreign).collect();
    let known = good(&signer);
    let (started, mut sent) = (Instant::now(), 0);
    // Every token at least once, and over at least four cool-downs, however fast the machine is.
    for batch in tokens.chunks(50).cycle() {
        if sent >= tokens.len() && started.elapsed() >= COOLDOWN * 4 {
            break;
        }
        sent += batch.len();
        let flood = batch.iter().map(|token| service.me(token));
        let load = (0..50).map(|_| service.me(&known));
        let (refused, taken) = tokio::join!(join_all(flood), join_all(load));
        for answer in refused {
            assert_eq!(answer.status, 401, "{answer:?}");
        }
        for answer in taken {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let cooldowns = started.elapsed().as_millis() / COOLDOWN.as_millis();
    let fetches = issuer.asked() as u128 - 1;
    assert!(
        (1..=cooldowns + 1).contains(&fetches),
        "{fetches} fetches in {cooldowns} cool-downs"
    );
    println!("{sent} unknown and {sent} good tokens: {fetches} fetches in {cooldowns} cool-downs");

    // The flood does not keep a new key out for longer than a cool-down.
    issuer.answers(Answer::Keys(next.jwks()));
    let announced = Instant::now();
    eventually(async || service.me(&good(&next)).await.status == 200).await;
    assert!(
        announced.elapsed() < COOLDOWN * 4,
        "{:?}",
        announced.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_cool_down_an_unknown_key_is_asked_for_again() {
    let (old, new) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let issuer = Issuer::start(Answer::Keys(old.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, SOON)).await;
    assert_eq!(service.me(&good(&new)).await.status, 401);
    issuer.answers(Answer::Keys(new.jwks()));
    eventually(async || service.me(&good(&new)).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_issuer_gone_known_keys_go_on_and_unknown_ones_cannot_be_decided() {
    let (signer, other) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let mut issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, SOON, SOON)).await;
    issuer.stop().await;
    let failed = fetches("unreachable");
    eventually(async || service.measures(&failed).await).await;
    assert_eq!(service.me(&good(&signer)).await.status, 200);
    let readiness = service.get("/readyz", &[]).await;
    assert_eq!(readiness.status, 200);
    let degraded = readiness.json()["degraded"].to_string();
    assert!(
        degraded.contains("its keys are not fetched anew"),
        "{degraded}"
    );
    for _ in 0..3 {
        service.me(&good(&other)).await.is_undecidable();
    }

    issuer.answers(Answer::Keys(other.jwks()));
    issuer.resume();
    eventually(async || service.me(&good(&other)).await.status == 200).await;
    let readiness = service.get("/readyz", &[]).await;
    assert_eq!(readiness.body, r#"{"status":"ready"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_hangs_holds_up_nobody_whose_key_is_known() {
    let (signer, other) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
    issuer.answers(Answer::Never);
    let (unknown, token) = (good(&other), good(&signer));
    let waiting = service.me(&unknown);
    tokio::pin!(waiting);
    let known = async {
        eventually(async || issuer.asked() == 2).await;
        service.me(&token).await
    };
    tokio::select! {
        biased;
        answer = &mut waiting => panic!("decided while the issuer hangs: {answer:?}"),
        answer = known => assert_eq!(answer.status, 200),
    }
    waiting.await.is_undecidable();
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_answer_of_the_issuer_takes_good_keys_away() {
    let signer = Signer::eddsa("k1");
    let elsewhere = Issuer::start(Answer::Keys(Signer::eddsa("k1").jwks()));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let service = Service::ready(jwt(&issuer, SOON, NEVER)).await;
    for bad in [
        Answer::Other(200, "<html>sign in</html>".to_owned()),
        Answer::Other(200, String::new()),
        Answer::Keys(json!({"keys": []}).to_string()),
        Answer::Keys(json!({"keys": [{"kty": "oct", "kid": "k1", "k": "AA"}]}).to_string()),
        Answer::Other(200, " ".repeat(300 * 1024)),
        Answer::Other(404, signer.jwks()),
        Answer::Other(500, "{}".to_owned()),
        Answer::Elsewhere(elsewhere.url().to_string()),
    ] {
        let what = format!("{bad:?}");
        issuer.answers(bad);
        let before = issuer.asked();
        // The second fetch from now on began after the answer was changed; the third ends it.
        eventually(async || issuer.asked() >= before + 3).await;
        let answer = service.me(&good(&signer)).await;
        assert_eq!(answer.status, 200, "{:.100}", what);
    }
    assert_eq!(elsewhere.asked(), 0, "a redirection was followed");
    for outcome in ["unusable", "refused"] {
        assert!(service.measures(&fetches(outcome)).await, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_renewed_ahead_of_need_and_measured() {
    let (old, new) = (Signer::eddsa("k1"), Signer::eddsa("k2"));
    let issuer = Issuer::start(Answer::Keys(old.jwks()));
    let service = Service::ready(jwt(&issuer, SOON, NEVER)).await;
    issuer.answers(Answer::Keys(new.jwks()));
    let before = issuer.asked();
    eventually(async || issuer.asked() >= before + 3).await;
    // Nobody has named the new key yet; the old one went with the set it was in.
    assert_eq!(service.me(&good(&new)).await.status, 200);
    assert_eq!(service.me(&good(&old)).await.status, 401);
    for line in [
        fetches("success"),
        of_issuer("statewise_jwks_keys", ISSUER) + " 1",
        of_issuer("statewise_jwks_age_seconds", ISSUER) + " 0.",
    ] {
        assert!(service.measures(&line).await, "{line}");
    }
}

pub(crate) async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_noticed_and_refuses_nobody_by_time() {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    // The issuer's clock is a minute ahead, so that what it issues now is of our future.
    issuer.clock_says(at(NOW + 60));
    let service = Service::start(jwt(&issuer, SOON, NEVER));
    let readiness = async || service.get("/readyz", &[]).await;
    eventually(async || readiness().await.body.contains("clock: ")).await;
    let body = readiness().await.body;
    assert!(body.contains("60 s behind the issuer's"), "{body}");
    let mut ahead = claims(NOW, &["user"]);
    ahead["iat"] = json!(NOW + 60);
    ahead["exp"] = json!(NOW + 960);
    service.me(&signer.sign(&ahead)).await.is_undecidable();
    // What is refused for another reason than its time is refused, and what is good is good.
    assert_eq!(service.me(&good(&Signer::eddsa("k1"))).await.status, 401);
    assert_eq!(service.me(&good(&signer)).await.status, 200);
    let metrics = service.get("/metrics", &[]).await.body;
    let difference = of_issuer("statewise_issuer_clock_difference_seconds", ISSUER);
    assert!(metrics.contains(&(difference + " -60")), "{metrics}");

    issuer.clock_says(at(NOW + 30));
    eventually(async || readiness().await.status == 200).await;
    assert_eq!(service.me(&signer.sign(&ahead)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_is_compared_before_keys_are_due() {
    let signer = Signer::eddsa("k1");
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    issuer.clock_says(at(NOW));
    let service = Service::ready(jwt(&issuer, NEVER, NEVER)).await;
    let token = good(&signer);
    assert_eq!(service.me(&token).await.status, 200);
    // Beyond the end of the token, and back.
    service.clock.set_wall(at(NOW + 86_400));
    eventually(async || service.get("/readyz", &[]).await.body.contains("clock: ")).await;
    service.me(&token).await.is_undecidable();
    service.clock.set_wall(at(NOW));
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
    assert_eq!(service.me(&token).await.status, 200);
}

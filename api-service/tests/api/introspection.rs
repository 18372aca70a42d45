//! The introspection strategy: what the authorization server says, and what it fails to say.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    ON_A_BUSY_MACHINE,
    authority::{Authority, Mood, TIMEOUT},
    eventually,
    keys::join_all,
    service::{NEVER, NOW, Service},
    signer::AUDIENCE,
};

async fn start(authority: &Authority) -> Service {
    Service::ready(authority.strategy(Duration::ZERO)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_asks_and_an_ended_session_is_refused_at_once() {
    let authority = Authority::start();
    let service = start(&authority).await;
    let id = authority.log_in(&["user"]);
    for asked in 1..=3 {
        assert_eq!(service.me(&id).await.status, 200);
        assert_eq!(authority.asked(), asked);
    }
    authority.log_out(&id);
    assert_eq!(service.me(&id).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_token_is_refused_without_asking() {
    let authority = Authority::start();
    let service = start(&authority).await;
    authority.is(Mood::Never);
    for credential in ["not a token", "a,b", "a=b", "==", &"a".repeat(9_000)] {
        assert_eq!(service.me(credential).await.status, 401, "{credential}");
    }
    assert_eq!(service.get("/me", &[]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_answer_is_undecidable_and_is_not_kept() {
    let authority = Authority::start();
    let service = Service::ready(authority.strategy(NEVER)).await;
    let id = authority.log_in(&["user"]);
    let elsewhere = Authority::start();
    for mood in [
        Mood::Other(500, "{}".to_owned()),
        Mood::Other(503, r#"{"active":false}"#.to_owned()),
        Mood::Other(401, r#"{"error":"invalid_client"}"#.to_owned()),
        Mood::Other(403, r#"{"active":false}"#.to_owned()),
        Mood::Other(200, "<html>".to_owned()),
        Mood::Other(200, String::new()),
        Mood::Other(200, "{}".to_owned()),
        Mood::Other(200, r#"{"active":"true"}"#.to_owned()),
        Mood::Other(400, r#"{"error":"invalid_request"}"#.to_owned()),
        Mood::Other(200, " ".repeat(100_000)),
        Mood::Elsewhere(elsewhere.url().to_string()),
        Mood::Never,
    ] {
        let what = format!("{mood:?}");
        authority.is(mood);
        let asked = Instant::now();
        let answer = service.me(&id).await;
        assert_eq!(answer.status, 503, "{what:.100}");
        answer.is_undecidable();
        assert!(asked.elapsed() < TIMEOUT + ON_A_BUSY_MACHINE, "{what:.100}");
        // What was wrong now is right as soon as the server is; and no breaker is in the way.
        authority.is(Mood::Honest);
        eventually(async || service.me(&authority.log_in(&["user"])).await.status == 200).await;
    }
    assert_eq!(service.me(&id).await.status, 200);
    assert_eq!(elsewhere.asked(), 0, "a redirection was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_credentials_that_the_server_does_not_know_nothing_is_decided_and_it_says_so() {
    let authority = Authority::start();
    let service = Service::start(authority.impostor());
    let id = authority.log_in(&["user"]);
    service.me(&id).await.is_undecidable();
    let readiness = service.get("/readyz", &[]).await;
    assert_eq!(readiness.status, 503);
    assert!(
        readiness.body.contains("API_CLIENT_ID"),
        "{}",
        readiness.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_left_alone_and_is_asked_again_when_it_is_back() {
    let mut authority = Authority::start();
    let service = start(&authority).await;
    let id = authority.log_in(&["user"]);
    assert_eq!(service.me(&id).await.status, 200);

    authority.stop().await;
    for _ in 0..50 {
        service.me(&id).await.is_undecidable();
    }
    let readiness = service.get("/readyz", &[]).await;
    assert_eq!(readiness.status, 503);
    let why = "was not reached: error sending request";
    assert!(readiness.body.contains(why), "{}", readiness.body);
    assert!(
        readiness.body.contains("Connection refused"),
        "{}",
        readiness.body
    );
    for line in [
        "statewise_introspection_calls_total{outcome=\"unreachable\"}",
        "statewise_introspection_events_total{event=\"breaker_opened\"} ",
    ] {
        assert!(service.measures(line).await, "{line}");
    }
    assert!(
        !service
            .measures("statewise_introspection_events_total{event=\"broken\"} 0")
            .await,
        "every request asked"
    );

    authority.resume();
    eventually(async || service.me(&id).await.status == 200).await;
    eventually(async || service.get("/readyz", &[]).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_serves_all_who_present_one_id_at_a_time() {
    let authority = Authority::start();
    let service = start(&authority).await;
    let id = authority.log_in(&["user"]);
    authority.is(Mood::Held);
    let flood = join_all((0..32).map(|_| service.me(&id)));
    let release = async {
        let shared = async || {
            let text = service.get("/metrics", &[]).await.body;
            let line = "statewise_introspection_events_total{event=\"shared\"} ";
            text.lines()
                .find_map(|known| known.strip_prefix(line))
                .is_some_and(|count| count.parse::<u32>().unwrap() >= 30)
        };
        eventually(shared).await;
        authority.let_go(32);
    };
    let (answers, ()) = tokio::join!(flood, release);
    assert!(answers.iter().all(|answer| answer.status == 200));
    // One for each worker thread.
    assert!(authority.asked() <= 2, "{}", authority.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_answer_is_kept_when_configured_and_never_past_the_end_of_the_session() {
    let authority = Authority::start();
    let service = Service::ready(authority.strategy(NEVER)).await;
    let id = authority.log_in(&["user"]);
    for _ in 0..20 {
        assert_eq!(service.me(&id).await.status, 200);
    }
    assert!(authority.asked() <= 2, "{}", authority.asked());
    authority.log_out(&id);
    assert_eq!(service.me(&id).await.status, 200);
    service.clock.advance(Duration::from_secs(900));
    assert_eq!(service.me(&id).await.status, 401);
    // An answer that it is nobody's is not kept.
    let later = authority.log_in(&["user"]);
    authority.log_out(&later);
    assert_eq!(service.me(&later).await.status, 401);
}

/// RFC 6750 §2.1: a token is what its issuer makes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_any_form_is_asked_about_as_it_was_presented() {
    let authority = Authority::start();
    let service = Service::ready(authority.strategy(NEVER)).await;
    let long = "a".repeat(4_000);
    for token in ["a", "vF9dft4qmT", "a.b.c", "a-b_c~d+e/f==", "%61", &long] {
        let answer = json!({"active": true, "sub": "u-2", "token_type": "Bearer"});
        authority.says(token, answer);
        // A percent sign is in no token, so it is nobody's.
        let expected = if token == "%61" { 401 } else { 200 };
        assert_eq!(service.me(token).await.status, expected, "{token:.40}");
        let cookie = ("cookie", format!("__Host-sid={token}"));
        let answer = service.get("/me", &[cookie]).await;
        assert_eq!(answer.status, expected, "{token:.40}");
    }
}

/// RFC 7662 §2.2 and §4, RFC 9700 §2.3.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_active_and_not_good_here_is_refused() {
    let authority = Authority::start();
    for keep in [Duration::ZERO, NEVER] {
        let service = Service::ready(authority.strategy(keep)).await;
        for (contradiction, reason) in [
            (json!({"aud": "https://other.example"}), "token_audience"),
            (json!({"iss": "https://other.example"}), "token_issuer"),
            (json!({"exp": NOW - 31}), "token_expired"),
            (json!({"nbf": NOW + 3_600}), "token_not_yet_valid"),
            (json!({"token_type": "DPoP"}), "token_kind"),
            (json!({"cnf": {"jkt": "x"}}), "token_bound"),
            // A refresh token, as some servers answer about it.
            (json!({"token_type": null}), "introspection_incomplete"),
        ] {
            let mut answer = json!({"active": true, "sub": "u-1", "token_type": "Bearer"});
            let members = answer.as_object_mut().unwrap();
            members.extend(contradiction.as_object().unwrap().clone());
            authority.says(reason, answer);
            let answer = service.me(reason).await;
            assert_eq!(answer.status, 401, "{contradiction}");
            assert!(!answer.body.contains(reason), "{answer:?}");
        }
        let ends = authority.log_in(&["user"]);
        assert_eq!(service.me(&ends).await.status, 200);
        service.clock.advance(Duration::from_secs(931));
        assert_eq!(service.me(&ends).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_optional_members_is_an_answer() {
    let authority = Authority::start();
    let service = start(&authority).await;
    authority.says(
        "machine",
        json!({"active": true, "client_id": "m-1", "token_type": "Bearer"}),
    );
    let machine = service.me("machine").await;
    assert_eq!(machine.status, 200, "{machine:?}");
    assert_eq!(machine.json()["subject"], "m-1");
    assert_eq!(machine.json()["roles"], json!([]));
    let odd = json!({"active": true, "sub": "u-1", "aud": AUDIENCE, "roles": {"admin": true}});
    authority.says("odd", odd);
    assert_eq!(service.me("odd").await.json()["roles"], json!([]));
}

/// What a stranger presents decides what the server answers.
#[tokio::test(flavor = "multi_thread")]
async fn answers_about_one_caller_keep_no_other_from_being_answered() {
    let authority = Authority::start();
    let service = start(&authority).await;
    let id = authority.log_in(&["user"]);
    authority.says("nameless", json!({"active": true, "token_type": "Bearer"}));
    authority.says("misread", json!({"active": true, "sub": 7, "exp": "never"}));
    authority.says("odd", json!({"active": "yes"}));
    for (credential, status) in [("nameless", 401), ("misread", 401), ("odd", 503)] {
        for _ in 0..30 {
            assert_eq!(service.me(credential).await.status, status, "{credential}");
        }
        assert_eq!(service.me(&id).await.status, 200, "after {credential}");
    }
    let refused = Mood::Other(400, r#"{"error":"invalid_request"}"#.to_owned());
    for mood in [refused, Mood::Other(403, String::new())] {
        authority.is(mood);
        for _ in 0..30 {
            service.me("anything").await.is_undecidable();
        }
        authority.is(Mood::Honest);
        assert_eq!(service.me(&id).await.status, 200);
    }
    assert!(
        service
            .measures("statewise_introspection_events_total{event=\"breaker_opened\"} 0")
            .await
    );
}

/// A server that closes every connection at the second request on it, without an answer.
fn one_request_a_connection() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Each on its own: the worker threads of the service have a connection each, and keep it.
            std::thread::spawn(move || answer_once(stream));
        }
    });
    address
}

fn answer_once(mut stream: TcpStream) {
    let until = NOW + 900;
    let document = format!(r#"{{"active":true,"sub":"u-1","token_type":"Bearer","exp":{until}}}"#);
    // A request of this client fits into one read.
    let _ = stream.read(&mut [0; 4_096]).and_then(|_| {
        let length = document.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{document}"
        )
    });
    let _ = stream.read(&mut [0; 4_096]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_under_a_call_fails_no_request() {
    let authority = Authority::start();
    let url = format!("http://{}/", one_request_a_connection());
    let service = Service::start(authority.strategy_at(url.parse().unwrap()));
    let id = authority.log_in(&["user"]);
    for _ in 0..20 {
        let answer = service.me(&id).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

//! The introspection strategy: what the authorization server says, and what it fails to say.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    ON_A_BUSY_MACHINE,
    authority::{Authority, Mood, TIMEOUT},
    eventually,
    keys::join_all,
    service::{NEVER, NOW, Service},
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
async fn what_cannot_be_an_id_is_refused_without_asking() {
    let authority = Authority::start();
    let service = start(&authority).await;
    authority.is(Mood::Never);
    for credential in ["nonsense", "a.b.c", &"a".repeat(9_000)] {
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
        Mood::Other(200, r#"{"active":true}"#.to_owned()),
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
    assert_eq!(service.get("/readyz", &[]).await.status, 503);
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
    let document = format!(r#"{{"active":true,"sub":"u-1","iat":{NOW},"exp":{until}}}"#);
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

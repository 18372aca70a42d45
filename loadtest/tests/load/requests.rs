//! What is sent: methods, paths, header fields, bodies.

use loadtest::load::{self, Arm, EngineError, Variant};
use url::Url;

use super::{
    OK, Reaction, arm, open, options, outcomes,
    server::{Server, answer},
};

fn drive(server: &Server, variants: Vec<Variant>) -> load::ArmOutcome {
    let arm = Arm {
        variants,
        ..arm(server.url(), open(100.0))
    };
    load::run(options(300), vec![arm]).unwrap().arms.remove(0)
}

#[test]
fn every_method_arrives_with_its_path_and_its_body() {
    let server = Server::start(|_| answer(200));
    let put = Variant::bearer("one")
        .method("PUT")
        .path("/items/1?a=b")
        .body("text/plain", "hello");
    let found = drive(&server, vec![put, Variant::default().method("DELETE")]);
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    let arrived = server.heads.lock().unwrap();
    let put = arrived.iter().find(|text| text.starts_with("PUT")).unwrap();
    assert!(put.starts_with("PUT /items/1?a=b HTTP/1.1\r\n"), "{put}");
    assert!(put.contains("\r\nAuthorization: Bearer one\r\n"), "{put}");
    assert!(put.contains("\r\nContent-Type: text/plain\r\n"), "{put}");
    assert!(put.ends_with("\r\nContent-Length: 5\r\n\r\nhello"), "{put}");
    let deletes = arrived
        .iter()
        .filter(|text| text.starts_with("DELETE /path HTTP/1.1\r\n"));
    assert_eq!(deletes.count() as u64, found.scheduled / 2);
}

#[test]
fn a_body_larger_than_the_socket_takes_at_once_arrives_in_full() {
    let server = Server::start(|_| answer(200));
    let large = "x".repeat(8 << 20);
    let variant = Variant::default()
        .method("POST")
        .body("text/plain", large.as_str());
    let arm = Arm {
        variants: vec![variant],
        ..arm(server.url(), open(4.0))
    };
    let found = load::run(options(600), vec![arm]).unwrap().arms.remove(0);
    assert_eq!(found.outcomes, outcomes([(OK, 2)]));
    assert!(
        server
            .heads
            .lock()
            .unwrap()
            .iter()
            .all(|text| text.ends_with(&large))
    );
}

#[test]
fn the_answer_to_head_has_no_body_whatever_its_length_says() {
    let server = Server::start(|_| {
        Reaction::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec())
    });
    let found = drive(&server, vec![Variant::default().method("HEAD")]);
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    assert_eq!(found.connections_opened, 32);
}

#[test]
fn what_servers_could_read_differently_is_refused() {
    let with = |name: &str| Variant::default().header(name, "a");
    for (bad, says) in [
        (with("Host").header("host", "b"), "twice"),
        (
            Variant::bearer("secret").header("authorization", "secret"),
            "twice",
        ),
        (with("Content-Length"), "follows from the body"),
        (with("transfer-encoding"), "follows from the body"),
        (with("A B"), "valid name"),
        (
            Variant::default().header("A", "secret\r\nB: c"),
            "not valid",
        ),
        (Variant::default().method("G T"), "method"),
        (Variant::default().method("CONNECT"), "method"),
        (Variant::default().path("no-slash"), "path"),
        (Variant::default().path("/a b"), "path"),
    ] {
        let arm = Arm {
            variants: vec![bad],
            ..arm(Url::parse("http://127.0.0.1:1/").unwrap(), open(1.0))
        };
        let refused = load::run(options(10), vec![arm]);
        let Err(error @ EngineError::Arm { .. }) = refused else {
            panic!("{refused:?} where it should say {says}");
        };
        let told = error.to_string();
        assert!(told.contains(says) && !told.contains("secret"), "{told}");
    }
}

#[test]
fn credentials_in_an_url_are_not_dropped_silently_and_not_printed() {
    let url = Url::parse("http://ada:secret@127.0.0.1:1/").unwrap();
    let refused = load::run(options(10), vec![arm(url, open(1.0))]);
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("Authorization") && !told.contains("secret"),
        "{told}"
    );
}

//! How many connections there are, and which is used next.

use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use loadtest::load::{self, Options};

use super::{
    OK, arm, drive, ms, open, options, outcomes,
    server::{Server, answer, answer_after},
    until,
};

fn fixed(connections: usize, millis: u64) -> Options {
    Options {
        connections,
        ..options(millis)
    }
}

fn growing(connections: usize, most: usize, millis: u64) -> Options {
    Options {
        max_connections: Some(most),
        ..fixed(connections, millis)
    }
}

#[test]
fn a_fixed_pool_stays_what_it_is_while_the_server_stalls() {
    let freeze = Mutex::new(());
    let server = Server::start(move |number| {
        let _held = freeze.lock().unwrap();
        answer_after(Duration::from_millis(if number == 100 { 400 } else { 0 }))
    });
    let found = drive(&server, open(500.0), fixed(4, 1_000));
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    assert_eq!((found.connections_opened, found.connections_open), (4, 4));
    assert_eq!(server.accepted.load(Ordering::SeqCst), 4);
}

#[test]
fn the_wait_for_a_connection_is_told_and_is_part_of_the_response_time() {
    let server = Server::start(|_| answer_after(Duration::from_millis(20)));
    let found = drive(&server, open(100.0), fixed(1, 500));
    assert_eq!(found.connection_wait.count(), found.scheduled);
    // One connection does 50 of the 100 requests that come each second: the last waits 250 ms.
    assert!(
        ms(&found.connection_wait, 0.5) > 80.0,
        "{}",
        ms(&found.connection_wait, 0.5)
    );
    for quantile in [0.1, 0.5, 0.9, 1.0] {
        let (response, wait) = (
            ms(&found.response_time, quantile),
            ms(&found.connection_wait, quantile),
        );
        assert!(response > wait + 19.0, "{response} for a wait of {wait}");
    }
    let idle = Server::start(|_| answer(200));
    let found = drive(&idle, open(100.0), fixed(8, 300));
    assert_eq!(found.connection_wait.count(), found.scheduled);
    assert!(ms(&found.connection_wait, 0.5) < 1.0);
}

#[test]
fn the_kernel_tells_when_each_answer_came() {
    let server = Server::start(|_| answer(200));
    let found = drive(&server, open(500.0), fixed(8, 500));
    assert_eq!(found.receive_lateness.count(), found.scheduled);
    // The end of the response time is the kernel's, so that it has no part of the lateness; both
    // together are no longer than the time from sending to reading.
    assert!(ms(&found.service_time, 0.0) > 0.0);
}

#[test]
fn a_lost_connection_is_opened_again_before_a_request_needs_it() {
    let server = Server::start(|number| match number {
        0..8 => super::Reaction::Last(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        _ => answer(200),
    });
    let running = load::start(fixed(4, 2_000), vec![arm(server.url(), open(20.0))]).unwrap();
    until("the server gets its connections back", || {
        server.arrived.load(Ordering::SeqCst) > 10 && server.open.load(Ordering::SeqCst) == 4
    });
    let found = running.join().unwrap().arms.remove(0);
    assert_eq!((found.connections_opened, found.connections_open), (12, 4));
}

#[test]
fn a_growing_pool_grows_when_all_are_busy_and_shrinks_when_they_rest() {
    let server = Server::start(|number| {
        answer_after(Duration::from_millis(if number < 40 { 200 } else { 0 }))
    });
    let running =
        load::start(growing(1, 64, 20_000), vec![arm(server.url(), open(100.0))]).unwrap();
    until("slow answers make it grow", || {
        server.open.load(Ordering::SeqCst) >= 8
    });
    until("connections at rest are closed", || {
        server.open.load(Ordering::SeqCst) == 1
    });
    drop(running);
}

#[test]
fn a_growing_pool_never_exceeds_its_limit() {
    let server = Server::start(|_| answer_after(Duration::from_millis(100)));
    let found = drive(&server, open(60.0), growing(1, 5, 500));
    assert_eq!(found.failed(), 0);
    assert_eq!((found.connections_open, found.connections_opened), (5, 5));
    assert_eq!(server.accepted.load(Ordering::SeqCst), 5);
}

#[test]
fn a_fixed_pool_uses_all_in_turn_and_a_growing_one_the_one_used_last() {
    let uses = |options: Options| -> Vec<u64> {
        let server = Server::start(|_| answer(200));
        drive(&server, open(100.0), options);
        let mut counts = BTreeMap::<u64, u64>::new();
        for connection in server.served_on.lock().unwrap().iter() {
            *counts.entry(*connection).or_default() += 1;
        }
        counts.into_values().collect()
    };
    let fixed = uses(fixed(4, 400));
    assert_eq!(fixed.len(), 4);
    assert!(
        fixed.iter().all(|count| (9..=10).contains(count)),
        "{fixed:?}"
    );
    let growing = uses(growing(4, 8, 400));
    assert!(growing.iter().max() > Some(&20), "{growing:?}");
}

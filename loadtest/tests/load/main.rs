//! The engine against real little servers that are slow, freeze, drop, lie or are not there.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod command;
mod connections;
mod files;
mod hostile;
mod requests;
mod server;
mod threads;
mod tls;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use loadtest::load::{
    self, Arm, ArmOutcome, Arrivals, EngineError, Load, Options, Outcome, Schedule, Variant,
};
use tokio_util::sync::CancellationToken;
use url::Url;

use server::{Reaction, Server, answer, answer_after};

const OK: Outcome = Outcome::Status(200);

fn arm(url: Url, load: Load) -> Arm {
    Arm {
        name: "arm".to_owned(),
        url,
        variants: vec![Variant::default()],
        load,
    }
}

fn open(rate: f64) -> Load {
    Load::Open {
        rate,
        arrivals: Arrivals::Uniform,
    }
}

fn options(millis: u64) -> Options {
    Options {
        duration: Duration::from_millis(millis),
        ..Options::default()
    }
}

/// Waits for something that must come about.
fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn drive(server: &Server, load: Load, options: Options) -> ArmOutcome {
    let arm = arm(server.url(), load);
    load::run(options, vec![arm]).unwrap().arms.remove(0)
}

fn outcomes<const N: usize>(expected: [(Outcome, u64); N]) -> BTreeMap<Outcome, u64> {
    BTreeMap::from(expected)
}

fn ms(histogram: &loadtest::stats::histogram::LatencyHistogram, quantile: f64) -> f64 {
    histogram.quantile_us(quantile) / 1e3
}

#[test]
fn every_scheduled_request_is_sent_and_counted_once() {
    let server = Server::start(|_| answer(200));
    let load = Load::Open {
        rate: 500.0,
        arrivals: Arrivals::Poisson,
    };
    let found = drive(
        &server,
        load,
        Options {
            seed: 7,
            ..options(1_000)
        },
    );
    let due = Schedule::new(500.0, Arrivals::Poisson, 7)
        .take_while(|due| *due < Duration::from_secs(1))
        .count() as u64;
    assert_eq!(found.scheduled, due);
    assert_eq!(found.outcomes, outcomes([(OK, due)]));
    assert_eq!(server.arrived.load(Ordering::SeqCst), due);
    assert_eq!(
        found.timeline.iter().map(load::Slice::offered).sum::<u64>(),
        due
    );
}

#[test]
fn a_known_delay_is_what_is_measured() {
    let server = Server::start(|_| answer_after(Duration::from_millis(20)));
    let found = drive(&server, open(100.0), options(1_000));
    for histogram in [&found.response_time, &found.service_time] {
        assert!(ms(histogram, 0.0) >= 20.0, "{}", ms(histogram, 0.0));
        assert!(ms(histogram, 0.5) < 40.0, "{}", ms(histogram, 0.5));
    }
}

#[test]
fn a_freeze_is_seen_by_all_who_would_have_waited_and_not_by_one_request() {
    let freeze = Mutex::new(());
    let server = Server::start(move |number| {
        let _held = freeze.lock().unwrap();
        answer_after(Duration::from_millis(if number == 40 { 500 } else { 0 }))
    });
    // One connection: a closed loop would send nothing during the freeze.
    let one = Options {
        connections: 1,
        ..options(1_000)
    };
    let found = drive(&server, open(200.0), one);
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    // 100 of 200 requests were due in the freeze and waited 250 ms on average.
    assert!(
        ms(&found.response_time, 0.9) > 300.0,
        "{}",
        ms(&found.response_time, 0.9)
    );
    assert!(
        ms(&found.response_time, 0.7) > 100.0,
        "{}",
        ms(&found.response_time, 0.7)
    );
    assert!(
        ms(&found.service_time, 0.9) < 100.0,
        "{}",
        ms(&found.service_time, 0.9)
    );
    assert!(ms(&found.service_time, 1.0) >= 500.0);
    // The generator itself was in time.
    assert!(
        ms(&found.send_lag, 0.9) < 100.0,
        "{}",
        ms(&found.send_lag, 0.9)
    );
}

#[test]
fn a_dropped_connection_is_a_reset_and_is_replaced() {
    let server = Server::start(|number| match number % 10 {
        9 => Reaction::Last(Vec::new()),
        8 => Reaction::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()),
        _ => answer(200),
    });
    let found = drive(&server, open(200.0), options(1_000));
    let (tens, rest) = (found.scheduled / 10, found.scheduled % 10);
    let resets = 2 * tens + rest.saturating_sub(8);
    let expected = outcomes([(OK, found.scheduled - resets), (Outcome::Reset, resets)]);
    assert_eq!(found.outcomes, expected);
    assert_eq!(found.response_time.count(), found.scheduled - resets);
    assert_eq!(found.failure_time.count(), resets);
}

#[test]
fn what_is_not_http_is_malformed() {
    let server = Server::start(|_| Reaction::Answer(b"220 ready for mail\r\n\r\n".to_vec()));
    let found = drive(&server, open(100.0), options(300));
    assert_eq!(
        found.outcomes,
        outcomes([(Outcome::Malformed, found.scheduled)])
    );
}

#[test]
fn an_answer_beyond_its_length_is_malformed() {
    let server = Server::start(|_| {
        Reaction::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more".to_vec())
    });
    let found = drive(&server, open(100.0), options(300));
    assert_eq!(
        found.outcomes,
        outcomes([(Outcome::Malformed, found.scheduled)])
    );
}

#[test]
fn bad_statuses_are_failures_with_a_latency_of_their_own() {
    let server = Server::start(|number| answer(if number % 4 == 0 { 503 } else { 200 }));
    let found = drive(&server, open(100.0), options(1_000));
    let failed = found.scheduled.div_ceil(4);
    let expected = outcomes([
        (OK, found.scheduled - failed),
        (Outcome::Status(503), failed),
    ]);
    assert_eq!(found.outcomes, expected);
    assert_eq!(
        (found.failed(), found.failure_time.count()),
        (failed, failed)
    );
    assert_eq!(found.answered(), found.scheduled);
}

#[test]
fn nobody_listening_is_a_failure_to_connect_and_nothing_hangs() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = Url::parse(&format!("http://{unused}/")).unwrap();
    let started = Instant::now();
    let run = load::run(options(300), vec![arm(url.clone(), open(100.0))]).unwrap();
    let found = &run.arms[0];
    assert_eq!(
        found.outcomes,
        outcomes([(Outcome::Connect, found.scheduled)])
    );
    assert_eq!(found.sent, 0);

    let closed = arm(url, Load::Closed { connections: 2 });
    let found = load::run(options(300), vec![closed])
        .unwrap()
        .arms
        .remove(0);
    // A pause after each refusal: no busy loop.
    assert!((1..=62).contains(&found.scheduled), "{}", found.scheduled);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn silence_is_a_timeout_at_the_deadline() {
    let server = Server::start(|_| Reaction::Silence);
    let deadline = Duration::from_millis(200);
    let found = drive(
        &server,
        open(50.0),
        Options {
            deadline,
            ..options(400)
        },
    );
    assert_eq!(
        found.outcomes,
        outcomes([(Outcome::Timeout, found.scheduled)])
    );
    assert!(
        ms(&found.failure_time, 0.0) >= 199.0,
        "{}",
        ms(&found.failure_time, 0.0)
    );
    assert!(
        ms(&found.failure_time, 0.5) < 300.0,
        "{}",
        ms(&found.failure_time, 0.5)
    );
}

#[test]
fn a_request_that_never_found_a_connection_is_not_sent_and_not_forgotten() {
    let server = Server::start(|_| Reaction::Silence);
    let one = Options {
        deadline: Duration::from_secs(5),
        drain: Duration::from_millis(100),
        connections: 1,
        ..options(300)
    };
    let found = drive(&server, open(100.0), one);
    let expected = outcomes([
        (Outcome::Timeout, 1),
        (Outcome::NotSent, found.scheduled - 1),
    ]);
    assert_eq!(found.outcomes, expected);
    assert_eq!(found.sent, 1);
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    let running = load::start(options(1_000), vec![arm(url, open(100.0))]).unwrap();
    let appear = running.measured_from + Duration::from_millis(500);
    std::thread::sleep(appear.saturating_duration_since(Instant::now()));
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer) {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .unwrap();
                }
            });
        }
    });
    let found = running.join().unwrap().arms.remove(0);
    let good_in = |range: std::ops::Range<u64>| -> u64 {
        let within = |slice: &&load::Slice| range.contains(&(slice.at.as_millis() as u64));
        found
            .timeline
            .iter()
            .filter(within)
            .map(load::Slice::good)
            .sum()
    };
    assert_eq!(good_in(0..400), 0);
    assert!(good_in(700..1_000) >= 25, "{}", good_in(700..1_000));
    assert!(found.outcomes[&Outcome::Connect] >= 40);
}

#[test]
fn a_closed_loop_keeps_exactly_its_connections_busy() {
    static BUSY: Mutex<(u32, u32)> = Mutex::new((0, 0));
    let server = Server::start(|_| {
        {
            let mut busy = BUSY.lock().unwrap();
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        std::thread::sleep(Duration::from_millis(5));
        BUSY.lock().unwrap().0 -= 1;
        answer(200)
    });
    let found = drive(&server, Load::Closed { connections: 3 }, options(500));
    assert_eq!(BUSY.lock().unwrap().1, 3);
    assert_eq!(found.connections_opened, 3);
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    assert_eq!(found.scheduled, server.arrived.load(Ordering::SeqCst));
    // Three connections at 5 ms each can do 600 a second.
    assert!(
        found.achieved_per_second() <= 610.0,
        "{}",
        found.achieved_per_second()
    );
    assert!(
        found.achieved_per_second() >= 100.0,
        "{}",
        found.achieved_per_second()
    );
}

#[test]
fn a_server_that_closes_after_each_answer_costs_connections_and_no_errors() {
    let server = Server::start(|_| {
        Reaction::Last(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        )
    });
    let found = drive(
        &server,
        open(100.0),
        Options {
            connections: 1,
            ..options(500)
        },
    );
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    assert!(found.connections_opened >= found.scheduled);
}

#[test]
fn the_warm_up_is_sent_and_not_measured() {
    let server = Server::start(|_| answer(200));
    let warm = Options {
        warmup: Duration::from_millis(500),
        ..options(500)
    };
    let found = drive(&server, open(100.0), warm);
    let arrived = server.arrived.load(Ordering::SeqCst);
    assert_eq!(found.requests_with_warmup, arrived);
    assert_eq!(arrived, 99);
    assert_eq!(found.scheduled, 50);
    assert_eq!(found.response_time.count(), 50);
}

#[test]
fn bytes_are_those_on_the_wire() {
    let server = Server::start(|_| answer(200));
    let found = drive(&server, open(100.0), options(300));
    let heads = server.heads.lock().unwrap();
    let sent: usize = heads.iter().map(String::len).sum();
    assert_eq!(found.request_bytes, sent as u64);
    let one = "HTTP/1.1 200 Whatever\r\nContent-Length: 2\r\n\r\nok".len() as u64;
    assert_eq!(found.response_bytes, one * found.scheduled);
}

#[test]
fn arms_of_one_run_have_their_own_rates_servers_and_users() {
    let servers = [
        Server::start(|_| answer(200)),
        Server::start(|_| answer(200)),
    ];
    let user = |name: &str| Variant::default().header("X-User", name);
    let arms = servers
        .iter()
        .zip([100.0, 200.0])
        .map(|(server, rate)| Arm {
            variants: vec![user("ada"), user("bob")],
            ..arm(server.url(), open(rate))
        });
    let run = load::run(options(500), arms.collect()).unwrap();
    let scheduled: Vec<u64> = run.arms.iter().map(|arm| arm.scheduled).collect();
    assert_eq!(scheduled, [49, 99]);
    for (server, scheduled) in servers.iter().zip(scheduled) {
        let heads = server.heads.lock().unwrap();
        let of = |name: &str| heads.iter().filter(|head| head.contains(name)).count() as u64;
        assert_eq!(
            (of("X-User: ada"), of("X-User: bob")),
            (scheduled.div_ceil(2), scheduled / 2)
        );
    }
}

#[test]
fn the_generator_begins_traces_and_decides_which_are_kept() {
    let server = Server::start(|_| answer(200));
    drive(
        &server,
        open(200.0),
        Options {
            trace_ratio: 0.25,
            ..options(2_000)
        },
    );
    let heads = server.heads.lock().unwrap().clone();
    let kept = heads.iter().filter(|head| head.contains("-01\r\n")).count();
    let dropped = heads.iter().filter(|head| head.contains("-00\r\n")).count();
    assert_eq!(kept + dropped, heads.len());
    // 399 requests, 25 %: 100 ± 26 at three standard deviations; the seed is fixed.
    assert!((74..=126).contains(&kept), "{kept} of {}", heads.len());

    server.heads.lock().unwrap().clear();
    drive(&server, open(100.0), options(200));
    let heads = server.heads.lock().unwrap();
    assert!(!heads.is_empty() && heads.iter().all(|head| !head.contains("traceparent")));
}

#[test]
fn an_interrupt_ends_a_run_at_once_with_what_was_found() {
    let server = Server::start(|_| answer(200));
    let interrupt = CancellationToken::new();
    let long = Options {
        interrupt: interrupt.clone(),
        ..options(600_000)
    };
    let running = load::start(long, vec![arm(server.url(), open(200.0))]).unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while server.arrived.load(Ordering::SeqCst) < 10 && Instant::now() < patience {
        std::thread::yield_now();
    }
    interrupt.cancel();
    let run = running.join().unwrap();
    assert!(run.interrupted);
    let arm = &run.arms[0];
    assert!(
        arm.window < Duration::from_secs(20),
        "a rate is over the time that was measured: {:?}",
        arm.window
    );
    assert!(run.arms[0].good() >= 9);
    assert!(run.elapsed < Duration::from_secs(30));
}

#[test]
fn an_arm_that_cannot_be_driven_is_refused_before_anything_is_sent() {
    let url = |text| Url::parse(text).unwrap();
    let good = arm(url("http://127.0.0.1:1/"), open(1.0));
    let header = |name: &str, value: &str| Variant::default().header(name, value);
    for bad in [
        Arm {
            url: url("ftp://127.0.0.1:1/"),
            ..good.clone()
        },
        Arm {
            url: url("http://no-such-host.invalid/"),
            ..good.clone()
        },
        Arm {
            variants: Vec::new(),
            ..good.clone()
        },
        Arm {
            variants: vec![header("A", "b\r\nC: d")],
            ..good.clone()
        },
        Arm {
            variants: vec![header("A B", "c")],
            ..good.clone()
        },
        Arm {
            load: open(0.0),
            ..good.clone()
        },
        Arm {
            load: open(f64::NAN),
            ..good.clone()
        },
        Arm {
            load: Load::Closed { connections: 0 },
            ..good.clone()
        },
    ] {
        let refused = load::run(options(10), vec![bad.clone()]);
        assert!(matches!(refused, Err(EngineError::Arm { .. })), "{bad:?}");
    }
}

#[test]
fn the_self_check_sees_the_latency_that_is_there() {
    let interrupt = CancellationToken::new();
    let check =
        loadtest::instrument::selfcheck::run(Duration::from_millis(1_500), 1, &interrupt).unwrap();
    assert!(check.requests > 800, "{}", check.requests);
    // Never less than the truth but for the histogram's precision, and not by a multiple more.
    assert!(
        (-0.2..100.0).contains(&check.p50_error_percent),
        "{}",
        check.p50_error_percent
    );
    assert!(check.cpu_us_per_request > 0.0);
}

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;

/// A link to a listener, and a connection over it.
struct Wire {
    proxies: Proxies,
    proxy: Proxy,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

fn wire() -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxies = Proxies::start().unwrap();
    let proxy = proxies.link(listener.local_addr().unwrap()).unwrap();
    // The proxy's own look whether somebody listens.
    drop(listener.accept().unwrap());
    let client = TcpStream::connect(proxy.address).unwrap();
    let server = listener.accept().unwrap().0;
    for socket in [&client, &server] {
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
    }
    Wire {
        proxies,
        proxy,
        listener,
        client,
        server,
    }
}

fn delayed(delay: Duration) -> Condition {
    Condition {
        delay,
        ..Condition::default()
    }
}

fn passage(passage: Passage) -> Condition {
    Condition {
        passage,
        ..Condition::default()
    }
}

#[test]
fn what_is_sent_arrives_in_order_and_no_sooner_than_the_delay() {
    let mut wire = wire();
    let delay = Duration::from_millis(30);
    wire.proxy.set(delayed(delay)).unwrap();
    let sent = Instant::now();
    for number in 0..50_u8 {
        wire.client.write_all(&[number; 100]).unwrap();
    }
    let mut came = [0; 5_000];
    wire.server.read_exact(&mut came[..1]).unwrap();
    assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
    wire.server.read_exact(&mut came[1..]).unwrap();
    let expected: Vec<u8> = (0..50).flat_map(|number| [number; 100]).collect();
    assert_eq!(came.as_slice(), expected);
}

#[test]
fn each_direction_has_its_delay() {
    let mut wire = wire();
    let delay = Duration::from_millis(20);
    wire.proxy.set(delayed(delay)).unwrap();
    let sent = Instant::now();
    let mut byte = [1];
    wire.client.write_all(&byte).unwrap();
    wire.server.read_exact(&mut byte).unwrap();
    wire.server.write_all(&byte).unwrap();
    wire.client.read_exact(&mut byte).unwrap();
    assert!(sent.elapsed() >= delay * 2);
}

#[test]
fn a_delay_that_is_shortened_lets_nothing_overtake() {
    let mut wire = wire();
    wire.proxy.set(delayed(Duration::from_millis(60))).unwrap();
    wire.client.write_all(b"first").unwrap();
    // Until the proxy has it; only then is the delay of what follows another.
    wire.proxy.set(delayed(Duration::from_millis(60))).unwrap();
    wire.proxy.set(delayed(Duration::ZERO)).unwrap();
    wire.client.write_all(b"second").unwrap();
    let mut came = [0; 11];
    wire.server.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"firstsecond");
}

#[test]
fn an_end_is_passed_on_behind_what_was_sent_and_the_other_direction_goes_on() {
    let mut wire = wire();
    wire.proxy.set(delayed(Duration::from_millis(10))).unwrap();
    wire.client.write_all(b"question").unwrap();
    wire.client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut came = String::new();
    wire.server.read_to_string(&mut came).unwrap();
    assert_eq!(came, "question");
    wire.server.write_all(b"answer").unwrap();
    drop(wire.server);
    let mut came = String::new();
    wire.client.read_to_string(&mut came).unwrap();
    assert_eq!(came, "answer");
}

#[test]
fn a_reset_is_passed_on_as_one() {
    let wire = wire();
    socket2::SockRef::from(&wire.server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(wire.server);
    let error = (&wire.client).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reader_that_does_not_read_makes_the_writer_wait() {
    let wire = wire();
    wire.client.set_nonblocking(true).unwrap();
    let mut written = 0_usize;
    let chunk = [7; 64 * 1024];
    let mut idle_since = Instant::now();
    // Full when nothing more was taken for a while; without a bound it never is.
    while idle_since.elapsed() < Duration::from_millis(300) {
        assert!(written < 64 << 20, "nothing holds the writer back");
        match (&wire.client).write(&chunk) {
            Ok(length) => {
                written += length;
                idle_since = Instant::now();
            }
            Err(_) => std::thread::yield_now(),
        }
    }
    // All of it comes once somebody reads.
    let reading = std::thread::spawn(move || {
        let mut came = vec![0; written];
        (&wire.server).read_exact(&mut came).unwrap();
        came.iter().all(|byte| *byte == 7)
    });
    assert!(reading.join().unwrap());
}

#[test]
fn a_link_with_a_rate_sends_no_faster_in_either_direction() {
    const BYTES: usize = 200_000;
    const RATE: u64 = 1_000_000;
    let wire = wire();
    let rate = Condition {
        bytes_per_second: NonZeroU64::new(RATE),
        ..Condition::default()
    };
    wire.proxy.set(rate).unwrap();
    for (from, to) in [(&wire.client, &wire.server), (&wire.server, &wire.client)] {
        let from = from.try_clone().unwrap();
        let sent = Instant::now();
        let sending = std::thread::spawn(move || (&from).write_all(&vec![3; BYTES]).unwrap());
        let mut came = vec![0; BYTES];
        (&*to).read_exact(&mut came).unwrap();
        sending.join().unwrap();
        let least = Duration::from_secs_f64(BYTES as f64 / RATE as f64);
        assert!(sent.elapsed() >= least, "{:?}", sent.elapsed());
        assert!(came.iter().all(|byte| *byte == 3));
    }
}

#[test]
fn the_connections_of_a_link_share_its_rate() {
    const BYTES: usize = 100_000;
    let wire = wire();
    let rate = Condition {
        bytes_per_second: NonZeroU64::new(1_000_000),
        ..Condition::default()
    };
    wire.proxy.set(rate).unwrap();
    let other = TcpStream::connect(wire.proxy.address).unwrap();
    let other_server = wire.listener.accept().unwrap().0;
    let sent = Instant::now();
    let ways = [(wire.client, wire.server), (other, other_server)].map(|(from, to)| {
        std::thread::spawn(move || {
            (&from).write_all(&vec![3; BYTES]).unwrap();
            (&to).read_exact(&mut vec![0; BYTES]).unwrap();
        })
    });
    ways.into_iter().for_each(|way| way.join().unwrap());
    assert!(
        sent.elapsed() >= Duration::from_millis(200),
        "{:?}",
        sent.elapsed()
    );
}

#[test]
fn a_stalled_link_delivers_when_it_is_open_again() {
    let mut wire = wire();
    wire.proxy.set(passage(Passage::Stalled)).unwrap();
    wire.client.write_all(b"late").unwrap();
    wire.server
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut came = [0; 4];
    assert!(wire.server.read(&mut came).is_err(), "something passed");
    wire.server
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    wire.proxy.set(passage(Passage::Open)).unwrap();
    wire.server.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"late");
}

#[test]
fn a_refusing_link_resets_and_refuses_and_then_connects_again() {
    let wire = wire();
    wire.proxy.set(passage(Passage::Refused)).unwrap();
    let error = (&wire.client).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = TcpStream::connect(wire.proxy.address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    wire.proxy.set(passage(Passage::Open)).unwrap();
    TcpStream::connect(wire.proxy.address).unwrap();
    drop(wire.proxies);
    let error = TcpStream::connect(wire.proxy.address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_link_refuses_while_its_target_does() {
    let wire = wire();
    let target = wire.listener.local_addr().unwrap();
    drop(wire.listener);
    drop(wire.server);
    let refused = || TcpStream::connect(wire.proxy.address).is_err();
    let patience = Instant::now() + Duration::from_secs(20);
    while !refused() {
        assert!(Instant::now() < patience, "it still accepts");
    }
    let _again = TcpListener::bind(target).unwrap();
    while refused() {
        assert!(Instant::now() < patience, "it still refuses");
    }
}

#[test]
fn what_is_due_at_once_on_one_connection_makes_no_other_late() {
    let mut wire = wire();
    wire.proxy.set(delayed(Duration::from_millis(40))).unwrap();
    let mut late = TcpStream::connect(wire.proxy.address).unwrap();
    let late_server = wire.listener.accept().unwrap().0;
    late.write_all(b"late").unwrap();
    // Until the proxy has it.
    wire.proxy.set(delayed(Duration::from_millis(40))).unwrap();
    wire.proxy.set(delayed(Duration::ZERO)).unwrap();
    let sent = Instant::now();
    wire.client.write_all(b"soon").unwrap();
    let mut came = [0; 4];
    wire.server.read_exact(&mut came).unwrap();
    assert!(sent.elapsed() < Duration::from_millis(40));
    (&late_server).read_exact(&mut came).unwrap();
    assert_eq!(&came, b"late");
}

#[test]
fn what_the_proxy_takes_itself_counts_as_delay() {
    let proxies = Proxies::start().unwrap();
    let calibration = Calibration::measure(&proxies, 50).unwrap();
    let round_trip = Duration::from_millis(10);
    let condition = calibration.condition(round_trip);
    assert!(condition.delay * 2 < round_trip, "{calibration:?}");
    assert!(condition.delay * 2 > round_trip / 2, "{calibration:?}");
    let error = calibration.check(&proxies, round_trip, 50).unwrap();
    // It is no sooner than it is to be, but for what the loopback itself varies.
    assert!(
        error.p50_us > -1_000.0 && error.p50_us < 5_000.0,
        "{error:?}"
    );
    assert!(error.p50_us <= error.p99_us, "{error:?}");
    assert_eq!(calibration.condition(Duration::ZERO).delay, Duration::ZERO);
}

#[test]
fn the_error_of_the_delay_is_measured() {
    let proxies = Proxies::start().unwrap();
    let error = check(&proxies, Duration::from_millis(2), 50).unwrap();
    assert!(
        error.p50_us >= 0.0 && error.p50_us <= error.p99_us,
        "{error:?}"
    );
}

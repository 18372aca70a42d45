//! How long a session that is ended is still known from memory, on an otherwise idle machine.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use tokio::runtime::Builder;

use crate::{
    log_in,
    redis::{Redis, Sessions as _},
    requests::{Service, cached},
};

const SESSIONS: usize = 500;

/// Ends sessions that the service knows and asks for them until they are refused; prints how long
/// after the end was confirmed that was.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
pub(crate) fn measure() {
    let redis = Redis::start();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(redis.store());
    let service = Service::start(cached(&redis));
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut lags = Vec::new();
    let mut accepted = 0;
    for _ in 0..SESSIONS {
        let id = runtime.block_on(log_in(&store));
        let request = format!(
            "GET /me HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
            id.expose()
        );
        assert!(ask(&mut stream, &request) && ask(&mut stream, &request));
        runtime.block_on(store.end(&id, None)).unwrap();
        let ended = Instant::now();
        let mut last_accepted = Duration::ZERO;
        loop {
            let sent = ended.elapsed();
            if !ask(&mut stream, &request) {
                break;
            }
            accepted += 1;
            last_accepted = sent;
        }
        lags.push(last_accepted);
    }
    lags.sort();
    println!(
        "session-cached, from the confirmed end to the last accepted request: \
         p50 {:?}, p99 {:?}, max {:?}; {accepted} requests accepted after {SESSIONS} ends",
        lags[SESSIONS / 2],
        lags[SESSIONS * 99 / 100],
        lags[SESSIONS - 1],
    );
}

/// Whether the request is accepted.
fn ask(stream: &mut TcpStream, request: &str) -> bool {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4_096];
    let length = stream.read(&mut answer).unwrap();
    answer[..length].starts_with(b"HTTP/1.1 200 ")
}

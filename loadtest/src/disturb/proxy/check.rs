//! The proxy's own error, measured from outside: how much later than asked for something arrives.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use super::{Condition, Passage, Proxies};

const MESSAGE: [u8; 64] = [b'.'; 64];

/// By how much a round trip through a proxy was longer than the delays that were asked for. What two
/// sockets and the proxy's thread take is in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayError {
    /// Median, in µs.
    pub p50_us: f64,
    /// 99th percentile, in µs.
    pub p99_us: f64,
}

/// Sends `count` messages of 64 bytes there and back, one after the other, over a link of its own with
/// `delay` in each direction.
///
/// # Errors
///
/// The operating system refuses a socket, or the proxy has ended.
pub fn check(proxies: &Proxies, delay: Duration, count: usize) -> io::Result<DelayError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = proxies.link(listener.local_addr()?)?;
    proxy.set(Condition {
        delay,
        passage: Passage::Open,
    })?;
    let mut client = TcpStream::connect(proxy.address)?;
    client.set_nodelay(true)?;
    let echo = std::thread::spawn(move || -> io::Result<()> {
        // The first connection is the proxy's look whether somebody listens.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut message = [0; MESSAGE.len()];
            while stream.read_exact(&mut message).is_ok() {
                stream.write_all(&message)?;
            }
        }
        Ok(())
    });
    let mut errors = Vec::with_capacity(count);
    for _ in 0..count {
        let mut message = MESSAGE;
        let sent = Instant::now();
        client.write_all(&message)?;
        client.read_exact(&mut message)?;
        errors.push(sent.elapsed().saturating_sub(delay * 2).as_secs_f64() * 1e6);
    }
    drop(client);
    echo.join()
        .map_err(|_| io::Error::other("the echo panicked"))??;
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * errors.len() as f64).ceil() as usize;
        errors
            .get(index.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    };
    Ok(DelayError {
        p50_us: at(0.5),
        p99_us: at(0.99),
    })
}

//! Opening a port.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Connections that may wait to be accepted; the kernel takes less when `net.core.somaxconn` is
/// less. The standard library asks for 128: when 200 clients came at once, the kernel dropped the
/// rest, who came again after a second, when the gateway had given up.
const BACKLOG: i32 = 4096;

/// Opens a port for many clients who come at once.
///
/// # Errors
///
/// The address is taken, not this machine's, or not allowed.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Listening again changes the length of the queue only (listen(2)).
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[test]
    fn several_hundred_who_come_at_once_wait_to_be_accepted() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_millis(500);
        let waiting: Vec<TcpStream> = (0..300)
            .map(|_| TcpStream::connect_timeout(&address, patience).unwrap())
            .collect();
        assert_eq!(waiting.len(), 300);
    }
}

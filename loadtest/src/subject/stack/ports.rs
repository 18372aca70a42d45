//! Ports that stay ours while nothing listens on them.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback port, kept for a process that is not running yet, or not at the moment.
///
/// On Linux a socket stays bound to the port for as long as the reservation lives. It does not
/// listen, and both it and the process's own socket carry `SO_REUSEADDR`, so the process can listen
/// there while nobody else is given the port: no other test run, and no outgoing connection, which
/// could otherwise take the port of a killed process or even connect to itself on it. Elsewhere the
/// port is only known to have been free.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// The reserved address.
    pub(crate) address: SocketAddr,
    _held: Option<Socket>,
}

impl Reservation {
    /// Reserves a port that nobody uses.
    pub(crate) fn loopback() -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // Bound before the option is set: a port that anybody else holds is not given to us.
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.set_reuse_address(true)?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| std::io::Error::other("the bound socket has no IP address"))?;
        Ok(Self {
            address,
            _held: cfg!(target_os = "linux").then_some(socket),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_refuses_connections_until_somebody_listens_and_again_after() {
        let reservation = Reservation::loopback().unwrap();
        for _ in 0..2 {
            assert!(TcpStream::connect(reservation.address).is_err());
            let listener = TcpListener::bind(reservation.address).unwrap();
            assert!(TcpStream::connect(reservation.address).is_ok());
            drop(listener);
        }
    }

    #[test]
    fn nobody_is_given_a_reserved_port() {
        let held: Vec<Reservation> = (0..50).map(|_| Reservation::loopback().unwrap()).collect();
        let mut ports: Vec<u16> = held.iter().map(|held| held.address.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }
}

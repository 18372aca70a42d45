//! Where the requests of an arm go, and everything that would make one of them invalid.

use std::net::{SocketAddr, ToSocketAddrs};

use super::{Arm, EngineError, Load, Options};

/// The server of an arm.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Every address of its name, at least one.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Target {
    /// # Errors
    ///
    /// The arm cannot be driven.
    pub(super) fn of(arm: &Arm, options: &Options) -> Result<Self, EngineError> {
        let fault = |fault: String| EngineError::Arm {
            arm: arm.name.clone(),
            fault,
        };
        check(arm, options).map_err(fault)?;
        let host = arm.url.host_str().unwrap_or_default();
        let port = arm.url.port_or_known_default().unwrap_or(80);
        // A literal IPv6 address has brackets in a URL and none for the resolver.
        let addresses: Vec<SocketAddr> = (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .map_err(|error| fault(format!("{host}:{port} was not found: {error}")))?
            .collect();
        if addresses.is_empty() {
            return Err(fault(format!("{host}:{port} has no address")));
        }
        Ok(Self { addresses })
    }
}

fn check(arm: &Arm, options: &Options) -> Result<(), String> {
    if !arm.url.username().is_empty() || arm.url.password().is_some() {
        return Err(
            "the URL has credentials, which belong into an Authorization header".to_owned(),
        );
    }
    if arm.url.scheme() != "http" {
        return Err(format!("{}: only http:// URLs can be driven", arm.url));
    }
    if arm.variants.is_empty() {
        return Err("there is no request to send".to_owned());
    }
    for variant in &arm.variants {
        variant.check()?;
    }
    match arm.load {
        Load::Open { rate, .. } if !(rate > 0.0 && rate.is_finite()) => Err(format!(
            "a rate of {rate} requests a second is not possible"
        )),
        Load::Open { .. } if options.connections == 0 => {
            Err("requests need at least one connection".to_owned())
        }
        Load::Closed { connections: 0 } => {
            Err("a closed loop needs at least one connection".to_owned())
        }
        _ => match options.max_connections {
            Some(most) if most < options.connections => Err(format!(
                "{most} connections at most are fewer than the {} to begin with",
                options.connections
            )),
            _ => Ok(()),
        },
    }
}

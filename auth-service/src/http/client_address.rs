//! Who sent a request: the address that login limits count by.

use std::{net::IpAddr, num::NonZeroUsize, str::FromStr};

use actix_web::{HttpRequest, http::header::HeaderValue};
use ipnet::IpNet;
use shared::forwarded;

use crate::list::entries;

/// Who is believed about the sender of a request. Cheap enough to clone for each worker.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    /// The peers that are believed.
    pub networks: Networks,
    /// How many proxies in front name whom they got the request from; the nearest is the peer.
    pub count: NonZeroUsize,
}

/// Networks and single addresses.
#[derive(Clone, Debug)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = String;

    /// Networks such as `10.0.0.0/8` and single addresses, separated by commas; empty for none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let networks: Result<Vec<IpNet>, &str> = entries(text)
            .map(|name| {
                let network = name.parse::<IpNet>();
                let single = || name.parse::<IpAddr>().map(IpNet::from);
                network.or_else(|_| single()).map_err(|_| name)
            })
            .collect();
        networks.map(Self).map_err(|name| {
            format!("{name:?} is neither a network such as 10.0.0.0/8 nor an address")
        })
    }
}

/// The sender of a request: the peer, or, when that is a trusted proxy, whom the farthest of our
/// proxies names. The peer as well when that is no address: then all share one.
pub(crate) fn client_address(request: &HttpRequest, trusted: &TrustedProxies) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    if !trusted.networks.contains(peer) {
        return Some(peer);
    }
    let values = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
    let named = forwarded::client(values, trusted.count.get());
    Some(named.unwrap_or(peer))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        seen_behind(1, peer, forwarded, trusted)
    }

    fn seen_behind(count: usize, peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
        for value in forwarded {
            request = request.append_header(("x-forwarded-for", *value));
        }
        let trusted = TrustedProxies {
            networks: trusted.parse().unwrap(),
            count: count.try_into().unwrap(),
        };
        client_address(&request.to_http_request(), &trusted)
            .unwrap()
            .to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_last_element() {
        let trusted = "127.0.0.0/8, ::1, 10.1.2.3";
        assert_eq!(seen("192.0.2.1:9", &["198.51.100.7"], trusted), "192.0.2.1");
        assert_eq!(
            seen("127.0.0.1:9", &["198.51.100.7"], trusted),
            "198.51.100.7"
        );
        assert_eq!(
            seen("[::1]:9", &["1.1.1.1, 2001:db8::1"], trusted),
            "2001:db8::1"
        );
        assert_eq!(
            seen("10.1.2.3:9", &["1.1.1.1", "2.2.2.2"], trusted),
            "2.2.2.2"
        );
        assert_eq!(
            seen("[::ffff:127.0.0.1]:9", &["::ffff:192.0.2.9"], trusted),
            "192.0.2.9"
        );
        assert_eq!(seen("127.0.0.1:9", &["198.51.100.7"], ""), "127.0.0.1");
        assert_eq!(seen("127.0.0.1:9", &["192.0.2.1:80"], trusted), "192.0.2.1");
        for unusable in [&[][..], &["unknown"], &["1.1.1.1, "], &["1.1.1.1:p"]] {
            assert_eq!(
                seen("127.0.0.1:9", unusable, trusted),
                "127.0.0.1",
                "{unusable:?}"
            );
        }
    }

    #[test]
    fn behind_two_proxies_the_last_but_one_is_the_client() {
        let seen = |list: &str| seen_behind(2, "127.0.0.1:9", &[list], "127.0.0.0/8");
        assert_eq!(seen("1.1.1.1, 198.51.100.7, 10.0.0.1"), "198.51.100.7");
        assert_eq!(seen("198.51.100.8, 10.0.0.1"), "198.51.100.8");
        assert_eq!(seen("10.0.0.1"), "10.0.0.1", "straight to the nearer one");
        assert_eq!(seen("unknown, 10.0.0.1"), "127.0.0.1");
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        let error = "10.0.0.0/8,10.0.0.0/33".parse::<Networks>().unwrap_err();
        assert!(error.contains("10.0.0.0/33"), "{error}");
    }
}

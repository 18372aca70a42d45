//! Who asks.

use std::{cell::RefCell, net::IpAddr, rc::Rc};

use http::{HeaderMap, HeaderValue};

use super::Proxy;
use crate::{deadline::Progress, headers};

/// One client connection, as its requests see it.
pub(crate) struct Client {
    pub(super) proxy: Rc<Proxy>,
    pub(super) progress: Rc<Progress>,
    pub(super) ip: IpAddr,
    /// The peer's address as a header's value.
    pub(super) peer: HeaderValue,
    /// The last `Host` and the `Forwarded` element made of it: nearly always the next one's too.
    forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

impl Client {
    pub(crate) fn new(proxy: Rc<Proxy>, progress: Rc<Progress>, ip: IpAddr) -> Rc<Self> {
        let ip = ip.to_canonical();
        // An address has no byte that a header cannot have.
        let peer =
            HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Rc::new(Self {
            proxy,
            progress,
            ip,
            peer,
            forwarded: RefCell::default(),
        })
    }

    /// Who asks: the peer, or whom the proxies in front name.
    pub(super) fn address(&self, headers: &HeaderMap) -> IpAddr {
        match self.proxy.trusted_hops {
            0 => self.ip,
            proxies => headers::named_client(headers, proxies).unwrap_or(self.ip),
        }
    }

    /// The `Forwarded` element for a request with this `Host`; `None` when the host is malformed.
    pub(super) fn forwarded(&self, host: Option<&HeaderValue>) -> Option<HeaderValue> {
        static NONE: HeaderValue = HeaderValue::from_static("");
        let host = host.unwrap_or(&NONE);
        let mut last = self.forwarded.borrow_mut();
        if let Some((last_host, element)) = &*last
            && last_host == host
        {
            return Some(element.clone());
        }
        let element = headers::forwarded_element(self.ip, host.as_bytes())?;
        // A copy: a clone of the host would keep the whole head it is part of in memory.
        let host = HeaderValue::from_bytes(host.as_bytes()).ok()?;
        *last = Some((host, element.clone()));
        Some(element)
    }
}

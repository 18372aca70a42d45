//! How much of a request's head servers take: ours by trying, those of others by their documentation.

use std::{io, net::SocketAddr, time::Duration};

use url::Url;

use crate::{
    experiment::call::Call,
    results::HeaderLimit,
    subject::{
        client::client,
        stack::Stack,
        strategy::{Credential, Strategy},
        usage::metrics_text,
    },
};

/// No larger head is tried.
const MOST: usize = 1 << 20;
/// No longer token is tried: the head around it would be refused first.
const MOST_TOKEN: usize = 64 * 1024;
/// What every server takes.
const LEAST: usize = 512;
const PATIENCE: Duration = Duration::from_secs(5);
/// Statuses that say of a request's head that it is too large (RFC 9110 §15.5.1, RFC 6585 §5).
const TOO_LARGE: [u16; 3] = [400, 413, 431];
/// Where our API counts why it refused a credential.
const REFUSALS: &str = "statewise_refusals_total";

/// Defaults of servers that stand before or around many services: which, of what, how much, the answer to
/// more, the setting.
const DOCUMENTED: [(&str, &str, u64, Option<u16>, &str); 6] = [
    (
        "nginx",
        "field",
        8_192,
        Some(400),
        "large_client_header_buffers 4 8k",
    ),
    (
        "Apache httpd",
        "field",
        8_190,
        Some(400),
        "LimitRequestFieldSize 8190",
    ),
    (
        "Tomcat",
        "head",
        8_192,
        Some(400),
        "maxHttpRequestHeaderSize 8192",
    ),
    (
        "Node.js",
        "head",
        16_384,
        Some(431),
        "--max-http-header-size 16384",
    ),
    (
        "HAProxy",
        "head",
        15_360,
        Some(400),
        "tune.bufsize 16384 without tune.maxrewrite 1024",
    ),
    (
        "AWS Application Load Balancer",
        "field",
        16_384,
        None,
        "16 K, fixed",
    ),
];

/// Of every part of a stack, and of servers of others. A part that cannot be asked is left out.
pub(super) fn of(stack: &Stack) -> Vec<HeaderLimit> {
    let mut limits = Vec::new();
    let replica = stack
        .pools
        .iter()
        .find_map(|(pool, urls)| Some((pool, urls.first()?)));
    if let Some((pool, replica)) = replica {
        let public = format!("/{pool}/public");
        limits.extend(head("our gateway", &stack.gateway_url, &public));
        limits.extend(head("our api-service", replica, "/public"));
    }
    limits.extend(head("our auth-service", &stack.auth_url, "/healthz"));
    let of_tokens = stack.pools.iter().find_map(|(pool, urls)| {
        let strategy = Strategy::named(pool)?;
        (strategy.credential() == Credential::Token).then_some(urls.first()?)
    });
    limits.extend(of_tokens.and_then(|replica| token(replica)));
    limits.extend(
        DOCUMENTED.map(|(server, of, bytes, status, setting)| HeaderLimit {
            server: server.to_owned(),
            of: of.to_owned(),
            bytes,
            status,
            documented: Some(setting.to_owned()),
        }),
    );
    limits
}

/// The largest head of a request that a server takes.
fn head(server: &str, base: &str, path: &str) -> Option<HeaderLimit> {
    let url = Url::parse(base).ok()?;
    let found = largest(MOST, |bytes| {
        match sent(&url, |address| padded(path, address, bytes)) {
            Ok(status) if TOO_LARGE.contains(&status) => Answer::Refused(Some(status)),
            Ok(_) => Answer::Taken,
            // It closed the connection on the rest.
            Err(_) => Answer::Refused(None),
        }
    })?;
    Some(limit(server, "head", found))
}

/// The longest bearer token that a replica looks at. It refuses each, since none is signed; only its own
/// counters say that this one was too long.
fn token(base: &str) -> Option<HeaderLimit> {
    let url = Url::parse(base).ok()?;
    let client = client(PATIENCE).ok()?;
    let too_long = || {
        let metrics = client.get(url.join("/metrics").ok()?).send().ok()?;
        let text = metrics.text().ok()?;
        Some(metrics_text::labelled(
            &text,
            REFUSALS,
            "reason=\"token_too_long\"",
        ))
    };
    let found = largest(MOST_TOKEN, |bytes| {
        let looked = || {
            let before = too_long()?;
            let status = sent(&url, |address| bearing(address, bytes)).ok()?;
            Some((status, too_long()? > before))
        };
        match looked() {
            Some((status, true)) => Answer::Refused(Some(status)),
            _ => Answer::Taken,
        }
    })?;
    Some(limit("our api-service", "token", found))
}

fn limit(server: &str, of: &str, (bytes, status): (usize, Option<u16>)) -> HeaderLimit {
    HeaderLimit {
        server: server.to_owned(),
        of: of.to_owned(),
        bytes: bytes as u64,
        status,
        documented: None,
    }
}

enum Answer {
    Taken,
    /// With this status, or by closing the connection.
    Refused(Option<u16>),
}

/// The largest size that is taken, and how the next one is refused. `None` where the least is refused, or
/// nothing is.
fn largest(most: usize, mut answer: impl FnMut(usize) -> Answer) -> Option<(usize, Option<u16>)> {
    let Answer::Taken = answer(LEAST) else {
        return None;
    };
    let Answer::Refused(mut status) = answer(most) else {
        return None;
    };
    let (mut taken, mut refused) = (LEAST, most);
    while refused - taken > 1 {
        let middle = usize::midpoint(taken, refused);
        match answer(middle) {
            Answer::Taken => taken = middle,
            Answer::Refused(by) => (refused, status) = (middle, by),
        }
    }
    Some((taken, status))
}

fn sent(server: &Url, text: impl FnOnce(SocketAddr) -> String) -> io::Result<u16> {
    Ok(Call::of(server, text)?.make()?.status)
}

/// A request whose head has so many bytes.
fn padded(path: &str, address: SocketAddr, bytes: usize) -> String {
    let begin =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Padding: ");
    const END: &str = "\r\n\r\n";
    let padding = bytes.saturating_sub(begin.len() + END.len());
    format!("{begin}{}{END}", "a".repeat(padding))
}

/// A request with a bearer token of so many bytes.
fn bearing(address: SocketAddr, bytes: usize) -> String {
    let token = "a".repeat(bytes);
    format!(
        "GET /me HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_size_is_found_to_the_byte_with_the_answer_to_one_more() {
        for limit in [LEAST, 8_190, 32_768, MOST - 1] {
            let found = largest(MOST, |bytes| match bytes <= limit {
                true => Answer::Taken,
                false => Answer::Refused((bytes < 100_000).then_some(431)),
            });
            let status = (limit < 99_999).then_some(431);
            assert_eq!(found, Some((limit, status)), "{limit}");
        }
        assert_eq!(largest(MOST, |_| Answer::Taken), None);
        assert_eq!(largest(MOST, |_| Answer::Refused(Some(400))), None);
    }

    #[test]
    fn a_padded_head_has_the_size_that_was_asked_for() {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for bytes in [LEAST, 8_192] {
            let text = padded("/public", address, bytes);
            assert_eq!(text.len(), bytes);
            assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1);
        }
    }
}

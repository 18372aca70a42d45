//! Who is speaking: the OpenTelemetry resource of the spans, and `target_info` of the metrics.

use std::{borrow::Cow, net::SocketAddr};

use percent_encoding::percent_decode_str;

/// Who is speaking.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `service.name`: the same for all replicas of a pool.
    pub service: Cow<'static, str>,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`: which replica.
    pub instance: String,
}

impl Identity {
    /// The name of a replica that was given none: the host's tells containers apart, the port tells
    /// processes on one host apart.
    #[must_use]
    pub fn instance_at(address: SocketAddr) -> String {
        match host_name() {
            Some(host) => format!("{host}:{}", address.port()),
            None => address.to_string(),
        }
    }
}

/// `host.name`.
pub(super) fn host_name() -> Option<String> {
    text_of("/proc/sys/kernel/hostname")
}

/// `host.id`, on Linux that of systemd (OpenTelemetry semantic conventions, host); containers have
/// none.
pub(super) fn host_id() -> Option<String> {
    text_of("/etc/machine-id")
}

fn text_of(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Attributes of a resource, later ones before earlier ones of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes(Vec<(String, String)>);

impl ResourceAttributes {
    /// Reads `name=value` pairs, separated by commas; values may be URL-encoded
    /// (`OTEL_RESOURCE_ATTRIBUTES`). Those without a value are left out.
    ///
    /// # Errors
    ///
    /// A pair is none.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim);
        pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => {
                    let value = percent_decode_str(value.trim()).decode_utf8_lossy();
                    Ok((name.trim().to_owned(), value.into_owned()))
                }
                _ => Err(format!(
                    "{pair:?} is not name=value, with commas between several"
                )),
            })
            .filter(|pair| !pair.as_ref().is_ok_and(|(_, value)| value.is_empty()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The value of one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut of_name = self.0.iter().rev().filter(|(other, _)| other == name);
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// All pairs in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_pairs_of_which_the_last_counts() {
        let read = ResourceAttributes::read("a=1, b = x%2Cy ,a=2,c=,").unwrap();
        assert_eq!(read.get("a"), Some("2"));
        assert_eq!(read.get("b"), Some("x,y"));
        assert_eq!(read.get("c"), None);
        for none in ["a", "a=1,b", "=1"] {
            let fault = ResourceAttributes::read(none).unwrap_err();
            assert!(fault.contains("name=value"), "{fault}");
        }
    }

    #[test]
    fn a_replica_without_a_name_is_called_by_its_port() {
        let name = Identity::instance_at("127.0.0.1:8082".parse().unwrap());
        assert!(name.ends_with(":8082"), "{name}");
    }
}

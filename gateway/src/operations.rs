//! Paths that the services behind us have for operators only.
//!
//! They are asked at the services' own ports, never through the public one: `/metrics` tells about
//! the inside, and `/readyz` makes a service ask everything that it depends on.

/// `/healthz` and the like, without the slash.
const NAMES: [&[u8]; 3] = [b"healthz", b"readyz", b"metrics"];

/// Whether a service could take `path` for one of its operations' paths. `plain` says that it is
/// written as it is meant; otherwise every way to write it is undone first.
pub(crate) fn is_operational(path: &str, plain: bool) -> bool {
    if plain {
        return is_name(path.trim_matches('/').as_bytes());
    }
    let decoded = decode(path);
    let mut segments = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        // Parameters, and what a reader could take for the end of the path.
        let end = |byte: &u8| matches!(byte, b';' | b'?' | b'#' | 0);
        match segment.split(end).next().unwrap_or_default().trim_ascii() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    matches!(segments.as_slice(), [only] if is_name(only))
}

fn is_name(name: &[u8]) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Undoes percent-encoding as often as it was done, in one pass: what comes out of an escape can
/// itself be a part of one.
fn decode(path: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded[..]
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(high * 16 + low);
        }
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_is_seen() {
        for path in [
            "/metrics",
            "/metrics/",
            "/METRICS",
            "/readyz;x=1",
            "/%6detrics",
            "/%256Detrics",
            "/%25%32%35%36%64etrics",
            "//healthz",
            "/./healthz",
            "/x/../healthz",
            "/%2fmetrics",
            "/\\metrics",
            "/%5cmetrics",
            "/metrics%00.html",
            "/metrics%3fx",
            "/metrics%20",
            "/;/metrics",
        ] {
            assert!(is_operational(path, false), "{path}");
        }
        for path in [
            "",
            "/",
            "/me",
            "/metrics2",
            "/x/metrics",
            "/metrics/x",
            "/m%65",
        ] {
            assert!(!is_operational(path, false), "{path}");
        }
    }

    #[test]
    fn what_is_encoded_many_times_costs_one_pass() {
        let path = format!("/%{}6detrics", "25".repeat(15_000));
        assert!(is_operational(&path, false));
    }

    proptest! {
        #[test]
        fn a_name_is_seen_through_any_encoding(
            name in prop::sample::select(vec!["metrics", "readyz", "healthz"]),
            encoded in prop::collection::vec(0_u8..4, 7),
            upper in prop::collection::vec(any::<bool>(), 7),
        ) {
            let mut path = "/".to_owned();
            for ((letter, times), upper) in name.chars().zip(&encoded).zip(&upper) {
                let letter = if *upper { letter.to_ascii_uppercase() } else { letter };
                match times {
                    0 => path.push(letter),
                    times => {
                        let again = "25".repeat(usize::from(*times) - 1);
                        path.push_str(&format!("%{again}{:02x}", u32::from(letter)));
                    }
                }
            }
            prop_assert!(is_operational(&path, false), "{}", path);
        }
    }
}

//! Headers of each export, such as a key of the collector: OpenTelemetry, configuration of the OTLP
//! exporter.

use std::collections::HashMap;

use http::HeaderName;

/// Reads `name=value` pairs, separated by commas. Values may be URL-encoded, which the exporter undoes.
///
/// # Errors
///
/// A pair is none. The text is not repeated: values are often credentials.
pub(in crate::telemetry) fn pairs(text: &str) -> Result<HashMap<String, String>, &'static str> {
    const FORM: &str = "must be name=value, with commas between several";
    let pairs = text.split(',').map(str::trim);
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(FORM)?;
            let name: HeaderName = name.trim().parse().map_err(|_| FORM)?;
            Ok((name.to_string(), value.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_what_is_none_is_refused_without_being_repeated() {
        let read = pairs("Authorization=Basic%20YTpi==, x-tenant = a,").unwrap();
        assert_eq!(read["authorization"], "Basic%20YTpi==");
        assert_eq!(read["x-tenant"], "a");
        assert_eq!(read.len(), 2);
        for text in ["secret", "a=b,secret", "se cret=b", "=secret"] {
            assert!(!pairs(text).unwrap_err().contains("secret"), "{text}");
        }
    }
}

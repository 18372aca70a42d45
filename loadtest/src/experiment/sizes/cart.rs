//! Data of a login of a given size.

/// Longest name of a thing, in characters, as the API takes it.
const SKU_LIMIT: usize = 64;
/// `{"items":[]}`.
const EMPTY: usize = 12;
/// `{"sku":"","quantity":1}` and the comma before the next one.
const LINE: usize = 24;

/// A cart as JSON of so many bytes; of the nearest size that a cart with one line can have, where it
/// can have none of that size.
pub(super) fn of(bytes: usize) -> String {
    let room = bytes.saturating_sub(EMPTY);
    // The last line has no comma.
    let lines = (room + 1).div_ceil(LINE + SKU_LIMIT).max(1);
    let names = (room + 1).saturating_sub(lines * LINE);
    let line = |number: usize| {
        let longer = usize::from(number < names % lines);
        let width = (names / lines + longer).clamp(1, SKU_LIMIT);
        format!(r#"{{"sku":"{number:0>width$}","quantity":1}}"#)
    };
    let lines: Vec<String> = (0..lines).map(line).collect();
    format!(r#"{{"items":[{}]}}"#, lines.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cart_has_the_size_that_was_asked_for() {
        for bytes in [37, 99, 100, 300, 301, 3_000, 30_000, 60_000] {
            let text = of(bytes);
            assert_eq!(text.len(), bytes, "{bytes}");
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            for item in json["items"].as_array().unwrap() {
                let sku = item["sku"].as_str().unwrap();
                assert!((1..=SKU_LIMIT).contains(&sku.len()), "{bytes}: {sku}");
            }
        }
        assert_eq!(of(0).len(), EMPTY + LINE);
    }
}

//! The cart: a small document that belongs to a login, and the rules for one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The largest body of a `PUT`, and so the largest cart that is kept in a session.
pub(crate) const CART_LIMIT_BYTES: usize = 64 * 1024;
/// Most lines of a cart.
const ITEMS_LIMIT: usize = 1_000;
/// Longest name of a thing, in characters.
const SKU_LIMIT: usize = 64;
/// Most of one thing.
const QUANTITY_LIMIT: u64 = 999;
/// So many faults are listed; after that their number.
const FAULTS_LISTED: usize = 20;

/// What somebody wants to buy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cart {
    /// In the order of their choice.
    #[schema(max_items = 1_000)]
    pub(crate) items: Vec<Item>,
}

/// One line of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// Which thing.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub(crate) sku: String,
    /// How many of it.
    #[schema(minimum = 1, maximum = 999)]
    pub(crate) quantity: u64,
}

/// A cart and how often it was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versioned {
    /// Zero for a cart that nobody has written yet.
    pub(crate) version: u64,
    /// The document.
    pub(crate) cart: Cart,
}

impl Cart {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Every rule that it breaks and where. Values are not repeated: they may be long.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Vec<String>> {
        let json: Value =
            serde_json::from_slice(body).map_err(|error| vec![format!("not JSON: {error}")])?;
        let mut faults = Vec::new();
        let cart = Self::check(&json, &mut faults);
        match cart {
            Some(cart) if faults.is_empty() => Ok(cart),
            _ => Err(shortened(faults)),
        }
    }

    fn check(json: &Value, faults: &mut Vec<String>) -> Option<Self> {
        let Some(members) = json.as_object() else {
            faults.push("the body must be an object".to_owned());
            return None;
        };
        only(members, &["items"], "", faults);
        let Some(list) = members.get("items").and_then(Value::as_array) else {
            faults.push("items: must be a list".to_owned());
            return None;
        };
        if list.len() > ITEMS_LIMIT {
            faults.push(format!("items: must be at most {ITEMS_LIMIT}"));
        }
        let items = list
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Item::check(value, &format!("items[{index}]"), faults))
            .collect();
        Some(Self { items })
    }
}

impl Item {
    fn check(json: &Value, place: &str, faults: &mut Vec<String>) -> Option<Self> {
        let Some(members) = json.as_object() else {
            faults.push(format!("{place}: must be an object"));
            return None;
        };
        only(members, &["sku", "quantity"], place, faults);
        let sku = members
            .get("sku")
            .and_then(Value::as_str)
            .filter(|text| is_sku(text));
        if sku.is_none() {
            faults.push(format!(
                "{place}.sku: must be 1 to {SKU_LIMIT} letters, digits and . _ - of ASCII"
            ));
        }
        let quantity = members
            .get("quantity")
            .and_then(whole)
            .filter(|number| (1..=QUANTITY_LIMIT).contains(number));
        if quantity.is_none() {
            faults.push(format!(
                "{place}.quantity: must be a whole number from 1 to {QUANTITY_LIMIT}"
            ));
        }
        Some(Self {
            sku: sku?.to_owned(),
            quantity: quantity?,
        })
    }
}

/// A number without a fraction: to JSON, and to JSON Schema, 2.0 is the same as 2.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|number| number.fract() == 0.0)?;
        // Only what can be a quantity is converted, so nothing is cut off.
        (1..=QUANTITY_LIMIT).find(|wanted| *wanted as f64 == float)
    })
}

fn is_sku(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=SKU_LIMIT).contains(&text.len()) && text.bytes().all(allowed)
}

/// Members that nobody reads are a misspelling, and silence would lose what was meant.
fn only(members: &Map<String, Value>, names: &[&str], place: &str, faults: &mut Vec<String>) {
    if members.keys().any(|name| !names.contains(&name.as_str())) {
        let place = if place.is_empty() { "the body" } else { place };
        faults.push(format!("{place}: may have {} only", names.join(" and ")));
    }
}

fn shortened(mut faults: Vec<String>) -> Vec<String> {
    let more = faults.len().saturating_sub(FAULTS_LISTED);
    if more > 0 {
        faults.truncate(FAULTS_LISTED);
        faults.push(format!("and {more} more"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(json: &Value) -> Vec<String> {
        Cart::parse(json.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn a_cart_within_the_rules_is_taken_as_it_is() {
        let json =
            json!({"items": [{"sku": "tea-1.kg", "quantity": 1}, {"sku": "T", "quantity": 999}]});
        let cart = Cart::parse(json.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(&cart).unwrap(), json);
        let whole = Cart::parse(br#"{"items":[{"sku":"tea","quantity":2.0}]}"#).unwrap();
        assert_eq!(whole.items[0].quantity, 2);
        let empty = Cart::parse(b"{\"items\":[]}").unwrap();
        assert_eq!(empty, Cart::default());
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let found = faults(&json!({
            "items": [
                {"sku": "tea", "quantity": 0},
                {"sku": "", "quantity": 1.5},
                {"sku": "tea\u{0}", "quantity": -1, "note": "x"},
                "tea",
                {},
            ],
            "total": 1,
        }));
        let places = [
            "the body",
            "items[0].quantity",
            "items[1].sku",
            "items[1].quantity",
            "items[2]:",
            "items[2].sku",
            "items[2].quantity",
            "items[3]:",
            "items[4].sku",
            "items[4].quantity",
        ];
        assert_eq!(found.len(), places.len(), "{found:#?}");
        for (found, place) in found.iter().zip(places) {
            assert!(found.starts_with(place), "{found} is not about {place}");
        }
    }

    #[test]
    fn what_is_no_cart_at_all_is_reported_in_one_line_each() {
        for body in [&b"{"[..], b"", b"\xff", b"[]", b"{}", b"{\"items\":{}}"] {
            assert_eq!(Cart::parse(body).unwrap_err().len(), 1);
        }
    }

    #[test]
    fn a_thousand_faults_are_not_a_thousand_lines() {
        let found = faults(&json!({"items": vec![0; 1_001]}));
        assert_eq!(found.len(), FAULTS_LISTED + 1);
        assert_eq!(found.last().unwrap(), "and 982 more");
    }
}

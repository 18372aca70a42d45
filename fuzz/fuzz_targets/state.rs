//! State that the client carries: a text from anybody, and what was sealed and then changed.

#![no_main]

#[path = "../../api-service/src/cart/state.rs"]
#[allow(dead_code, reason = "the API needs more of it")]
mod state;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use state::{Binding, StateKeys};

static KEYS: LazyLock<StateKeys> = LazyLock::new(|| {
    let text = format!("new={},old={}", "A".repeat(43), "E".repeat(43));
    StateKeys::parse(&text).expect("two keys")
});

const BINDING: Binding<'static> = Binding {
    purpose: "cart",
    issuer: None,
    subject: "u-1",
    login: "s-1",
};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(KEYS.open(text, BINDING).is_err(), "nobody sealed it");
        let _ = StateKeys::parse(text);
    }
    let Ok(sealed) = KEYS.seal(data, BINDING) else {
        return;
    };
    assert!(sealed.len() <= state::SEALED_LIMIT_BYTES);
    assert_eq!(KEYS.open(&sealed, BINDING).ok().as_deref(), Some(data));
    let moved = Binding {
        login: "s-2",
        ..BINDING
    };
    assert!(
        KEYS.open(&sealed, moved).is_err(),
        "opened for another login"
    );
    // The input says which byte is changed.
    let mut changed = sealed.into_bytes();
    let at = data.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    }) % changed.len();
    changed[at] = if changed[at] == b'B' { b'C' } else { b'B' };
    let changed = String::from_utf8(changed).expect("a letter for a letter");
    assert!(
        KEYS.open(&changed, BINDING).is_err(),
        "opened though changed"
    );
});

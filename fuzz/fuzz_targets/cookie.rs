//! The `Cookie` headers of a request, one a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::credential::{SESSION_COOKIE, cookie};

fuzz_target!(|data: &[u8]| {
    let headers: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let found = cookie(headers.iter().copied(), SESSION_COOKIE);
    // HTTP/2 splits a header where HTTP/1.1 has one (RFC 9113 §8.2.3); both must mean the same.
    let joined = headers.join(&b"; "[..]);
    assert_eq!(cookie([&joined[..]], SESSION_COOKIE), found);
    let mut turned = headers.clone();
    turned.reverse();
    assert_eq!(cookie(turned, SESSION_COOKIE), found, "the order decides");
    if let Ok(Some(value)) = found {
        assert_eq!(value, value.trim());
        assert!(!value.contains(';'));
    }
});

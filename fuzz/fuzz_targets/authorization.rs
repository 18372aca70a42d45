//! The `Authorization` headers of a request, one a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::{credential::bearer, session::SessionId};

fuzz_target!(|data: &[u8]| {
    let headers: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    match bearer(headers.iter().copied()) {
        Err(_) => assert!(headers.len() > 1, "one header is never ambiguous"),
        Ok(found) => {
            assert_eq!(headers.len(), 1, "of several headers one was taken");
            if let Some(token) = found {
                assert_eq!(token, token.trim());
                assert!(headers[0][..6].eq_ignore_ascii_case(b"bearer"));
                if let Some(id) = SessionId::parse(token) {
                    assert_eq!(id.expose(), token, "an id with two spellings");
                }
            }
        }
    }
});

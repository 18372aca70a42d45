//! Header and claims of a token that the issuer signed, whatever they are: a line each.

#![no_main]

#[path = "signed.rs"]
mod signed;

use libfuzzer_sys::fuzz_target;
use shared::token::unverified_issuer;

fuzz_target!(|text: &str| {
    let (header, payload) = text.split_once('\n').unwrap_or((signed::HEADER, text));
    let token = signed::sign(header, payload);
    let keys = signed::keys();
    let profile = signed::profile();
    let access = profile.verify(&token, keys, signed::NOW);
    if let Ok(claims) = access {
        assert_eq!(claims.iss, signed::ISSUER);
        // By which its keys would have been chosen.
        assert_eq!(unverified_issuer(&token).as_deref(), Ok(signed::ISSUER));
        assert!(claims.aud.iter().any(|one| one == signed::AUDIENCE));
        assert!(claims.exp > signed::NOW && claims.iat <= signed::NOW);
        // Written and read again it is the same.
        let written = serde_json::to_string(&claims).expect("claims have a JSON form");
        let again = signed::sign(signed::HEADER, &written);
        let read = profile.verify(&again, keys, signed::NOW);
        assert_eq!(read, Ok(claims));
    }
});

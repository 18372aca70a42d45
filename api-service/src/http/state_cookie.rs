//! The cookie in which a browser carries a sealed state.

use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite, time};

use crate::cart::COOKIE;

/// Makes a browser carry a state for so long.
pub(super) fn carrying(state: String, kept: Duration) -> Cookie<'static> {
    let seconds = i64::try_from(kept.as_secs()).unwrap_or(i64::MAX);
    build(state, time::Duration::seconds(seconds))
}

/// Makes a browser forget its state.
pub(super) fn expired() -> Cookie<'static> {
    build(String::new(), time::Duration::ZERO)
}

fn build(value: String, max_age: time::Duration) -> Cookie<'static> {
    Cookie::build(COOKIE, value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(max_age)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cart::SEALED_LIMIT_BYTES;

    #[test]
    fn the_longest_state_makes_a_cookie_that_every_client_keeps() {
        let century = Duration::from_secs(100 * 366 * 24 * 3_600);
        let whole = carrying("x".repeat(SEALED_LIMIT_BYTES), century).to_string();
        assert!(whole.len() <= 4_096, "{}", whole.len());
        assert!(whole.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3162240000"));
    }
}

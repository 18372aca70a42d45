//! The session cookie. Set and expired with the same attributes, or browsers keep the old one.

use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
};
use shared::session::SessionId;

/// The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`
/// (draft-ietf-httpbis-rfc6265bis §4.1.3.2).
pub(super) const NAME: &str = shared::credential::SESSION_COOKIE;

/// The cookie of a new session, kept at most until its absolute limit.
pub(super) fn set(id: &SessionId, seconds: u64) -> Cookie<'static> {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    build(id.expose().to_owned(), Duration::seconds(seconds))
}

/// The cookie that makes a browser forget the session.
pub(super) fn expire() -> Cookie<'static> {
    build(String::new(), Duration::ZERO)
}

/// Adds a cookie to an answer.
pub(super) fn add(response: &mut HttpResponse, cookie: Cookie<'_>) {
    // A name and value that were built from constants always fit into a header.
    let _ = response.add_cookie(&cookie);
}

fn build(value: String, max_age: Duration) -> Cookie<'static> {
    Cookie::build(NAME, value)
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

    #[test]
    fn a_cookie_is_expired_with_the_attributes_it_was_set_with() {
        let id = SessionId::generate("nobody");
        let set = set(&id, 600).to_string();
        assert_eq!(
            set,
            format!(
                "__Host-sid={}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600",
                id.expose()
            )
        );
        let expired = set.replace(id.expose(), "").replace("600", "0");
        assert_eq!(expire().to_string(), expired);
    }
}

//! The servlet case: a container that hands out a session cookie although nobody asked for a
//! session (as `JSESSIONID` is).
//!
//! The cookie means nothing: nothing is kept under it and nobody reads it. It is here to be tested
//! and measured, and off unless it is switched on.

use actix_web::{
    Error,
    body::MessageBody,
    cookie::{Cookie, SameSite},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
};

use crate::auth::Request;

/// A generic name, as OWASP advises, so that it does not tell what runs here.
const COOKIE: &str = "SESSION";

/// Adds the cookie to the answer of a request that carries none.
pub(super) async fn hand_out(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // Whatever its value is, even several: it is never looked at.
    let carried = !matches!(Request::from(request.request()).cookie(COOKIE), Ok(None));
    let mut response = next.call(request).await?;
    if !carried && let Some(value) = fresh() {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// A cookie until the browser is closed, with 128 random bits; `None` without random numbers.
fn fresh() -> Option<HeaderValue> {
    let number = u128::from(getrandom::u64().ok()?) << 64 | u128::from(getrandom::u64().ok()?);
    let cookie = Cookie::build(COOKIE, format!("{number:032X}"))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish();
    HeaderValue::from_str(&cookie.to_string()).ok()
}

//! `POST /logout`: ends what the presented credential stands for, and says what it could not end.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::header::{self, HeaderValue},
    web,
};
use serde_json::json;
use shared::{server::trace_of, session::SessionId, telemetry::trace::TraceHandle};

use super::{State, cookie};
use crate::error::Error;

/// What a caller can present. A session id and a token cannot be confused: a token has dots.
enum Presented {
    Session(SessionId),
    Token(String),
}

pub(super) async fn logout(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    match presented(&request)? {
        Presented::Session(id) => end_session(&state, &id, trace.as_ref()).await,
        Presented::Token(token) => end_login(&state, &token, trace.as_ref()).await,
    }
}

/// The `Authorization` header if there is one, otherwise the cookie: a cookie is sent by the
/// browser, a header on purpose.
fn presented(request: &HttpRequest) -> Result<Presented, Error> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let token = bearer(value).ok_or(Error::InvalidCredential)?;
        return Ok(match SessionId::parse(token) {
            Some(id) => Presented::Session(id),
            None => Presented::Token(token.to_owned()),
        });
    }
    let cookie = request.cookie(cookie::NAME).ok_or(Error::NoCredential)?;
    SessionId::parse(cookie.value())
        .map(Presented::Session)
        .ok_or(Error::InvalidCredential)
}

/// RFC 6750 §2.1; the scheme is compared without regard to case (RFC 9110 §11.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

async fn end_session(
    state: &State,
    id: &SessionId,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    // An error leaves the cookie: the session may go on, and the browser must be able to retry.
    let existed = state.sessions.end(id, trace).await?.is_some();
    let mut response = if existed {
        HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "ended": "session" }))
    } else {
        Error::InvalidCredential.error_response()
    };
    // A name and value that were built from constants always fit into a header.
    let _ = response.add_cookie(&cookie::expire());
    Ok(response)
}

async fn end_login(
    state: &State,
    token: &str,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let claims = state
        .issuer
        .verify(token)
        .map_err(|_| Error::InvalidCredential)?;
    let login = claims.sid.ok_or(Error::InvalidCredential)?;
    let now = state.issuer.now();
    state.refresh_tokens.revoke(&login, now, trace).await?;
    let valid_until = UNIX_EPOCH + Duration::from_secs(claims.exp);
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({
            "ended": "refresh_tokens",
            "access_token_valid_until": humantime::format_rfc3339_seconds(valid_until).to_string(),
        })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_nothing_else() {
        let read = |text| bearer(&HeaderValue::from_static(text)).map(str::to_owned);
        assert_eq!(read("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(read("bEARER abc"), Some("abc".to_owned()));
        for text in ["abc", "Bearer", "Bearer ", "Basic abc", "Bearerabc"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

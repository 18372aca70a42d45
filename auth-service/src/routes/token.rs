//! `POST /oauth/token`: a refresh token for a new access token and the next refresh token.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    error::{InternalError, UrlencodedError},
    web,
};
use shared::{
    config::Secret,
    problem::Problem,
    server::{JSON_LIMIT_BYTES, trace_of},
    telemetry::trace::TraceHandle,
};

use super::{State, login::token_response};
use crate::{
    error::{Error, OAuthError},
    issuer::CLIENT_ID,
    refresh::{Grant, RefreshToken},
};

type Parameters = Vec<(String, String)>;

pub(super) async fn token(
    request: HttpRequest,
    state: web::Data<State>,
    form: web::Form<Parameters>,
) -> Result<HttpResponse, Error> {
    let token = read(&form)?;
    let trace = trace_of(&request);
    let (grant, successor) = renew(&state, &token, trace.as_ref()).await?;
    let access_token = state.issuer.access_token(&grant.user, &grant.family)?;
    state.metrics.token_issued("refresh_token");
    Ok(token_response(&access_token, &successor))
}

/// Bodies that cannot be read are answered in the form of the token endpoint.
pub(super) fn form_config() -> web::FormConfig {
    web::FormConfig::default()
        .limit(JSON_LIMIT_BYTES)
        .error_handler(|error, _| {
            let response = match &error {
                UrlencodedError::Overflow { .. } => {
                    Problem::too_large(JSON_LIMIT_BYTES).error_response()
                }
                UrlencodedError::ContentType => {
                    invalid("send parameters as application/x-www-form-urlencoded")
                }
                _ => invalid("the body could not be read"),
            };
            InternalError::from_response(error, response).into()
        })
}

fn invalid(reason: &'static str) -> HttpResponse {
    Error::from(OAuthError::InvalidRequest(reason)).error_response()
}

fn read(form: &Parameters) -> Result<RefreshToken, OAuthError> {
    let grant_type = parameter(form, "grant_type")?
        .ok_or(OAuthError::InvalidRequest("grant_type is missing"))?;
    if grant_type != "refresh_token" {
        return Err(OAuthError::UnsupportedGrantType);
    }
    let token = parameter(form, "refresh_token")?
        .ok_or(OAuthError::InvalidRequest("refresh_token is missing"))?;
    // The client may name itself (RFC 6749 §3.2.1); tokens of others are not its own.
    if parameter(form, "client_id")?.is_some_and(|client| client != CLIENT_ID) {
        return Err(OAuthError::InvalidGrant);
    }
    Ok(Secret::new(token.to_owned()))
}

/// RFC 6749 §3.2: parameters without a value count as absent, repeated ones are refused.
fn parameter<'a>(form: &'a Parameters, name: &str) -> Result<Option<&'a str>, OAuthError> {
    let mut values = form
        .iter()
        .filter(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.as_str());
    let value = values.next();
    match values.next() {
        Some(_) => Err(OAuthError::InvalidRequest("a parameter is repeated")),
        None => Ok(value),
    }
}

/// Spends the token. The user is read first, so that roles are those of now and nothing is spent
/// when the database fails half-way.
async fn renew(
    state: &State,
    token: &RefreshToken,
    trace: Option<&TraceHandle>,
) -> Result<(Grant, RefreshToken), Error> {
    let now = state.issuer.now();
    let tokens = &state.refresh_tokens;
    let grant = tokens
        .find(token, now, trace)
        .await?
        .ok_or(OAuthError::InvalidGrant)?;
    match tokens.rotate(token, now, trace).await? {
        Some(successor) => Ok((grant, successor)),
        None => {
            tokens.revoke(&grant.family, now, trace).await?;
            tracing::warn!(
                subject = %grant.user.id,
                "a spent refresh token was presented: its login was ended"
            );
            Err(OAuthError::InvalidGrant.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Parameters {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn requests_that_the_standard_refuses_are_refused_with_its_codes() {
        let refresh = ("grant_type", "refresh_token");
        for (pairs, code) in [
            (vec![], "invalid_request"),
            (vec![refresh], "invalid_request"),
            (vec![refresh, ("refresh_token", "")], "invalid_request"),
            (
                vec![refresh, ("refresh_token", "a"), ("refresh_token", "b")],
                "invalid_request",
            ),
            (
                vec![refresh, ("refresh_token", "a"), ("client_id", "other")],
                "invalid_grant",
            ),
            (
                vec![("grant_type", "password"), ("username", "ada")],
                "unsupported_grant_type",
            ),
        ] {
            let error = read(&form(&pairs)).unwrap_err();
            let text = format!("{error:?}");
            let wanted = match code {
                "invalid_request" => matches!(error, OAuthError::InvalidRequest(_)),
                "invalid_grant" => error == OAuthError::InvalidGrant,
                _ => error == OAuthError::UnsupportedGrantType,
            };
            assert!(wanted, "{pairs:?} gave {text}");
        }
        assert!(read(&form(&[refresh, ("refresh_token", "a")])).is_ok());
    }
}

//! `/oauth/authorize`: a user logs in with a browser and the client gets a code, RFC 6749 §4.1 with
//! PKCE (RFC 7636).
//!
//! Who asks is not asked for consent: the clients are those of the configuration. Every
//! authorization asks for the password, because no session of this service begins here.

mod form;
mod request;

use actix_web::{
    HttpResponse, ResponseError,
    error::{InternalError, UrlencodedError},
    http::{StatusCode, header},
    web,
};
use shared::{
    config::Secret,
    server::{JSON_LIMIT_BYTES, is_late},
};
use url::Url;
use utoipa::{IntoParams, ToSchema};

use self::request::{Authorization, Refusal};
use super::form::Parameters;
use crate::{
    http::{
        call::Call,
        error::Error,
        html::CONTENT_TYPE,
        password::{self, Presented},
        rate_limit, signed_in,
    },
    limits::Remaining,
};

/// What a client asks for, RFC 6749 §4.1.1 and RFC 7636 §4.3.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as a form")]
struct AuthorizationQuery {
    /// code
    #[param(required = false)]
    response_type: String,
    /// One of AUTH_PUBLIC_CLIENTS or AUTH_REDIRECT_URIS, or the page of this service
    #[param(required = false)]
    client_id: String,
    /// One of the client's, byte for byte; with any port where it is an address of this machine
    #[param(required = false)]
    redirect_uri: String,
    /// Given back as it came
    #[param(required = false)]
    state: String,
    /// RFC 7636 §4.2
    #[param(required = false)]
    code_challenge: String,
    /// S256
    #[param(required = false)]
    code_challenge_method: String,
    /// Of api, profile and roles; others are ignored
    #[param(required = false)]
    scope: String,
    /// RFC 8707: the audience of the tokens
    #[param(required = false)]
    resource: String,
}

/// What the login form sends: the parameters of the request once more, a name and a password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, and read as a form")]
struct AuthorizationForm {
    #[schema(nullable = false)]
    response_type: Option<String>,
    #[schema(nullable = false)]
    client_id: Option<String>,
    #[schema(nullable = false)]
    redirect_uri: Option<String>,
    #[schema(nullable = false)]
    state: Option<String>,
    #[schema(nullable = false)]
    code_challenge: Option<String>,
    #[schema(nullable = false)]
    code_challenge_method: Option<String>,
    #[schema(nullable = false)]
    scope: Option<String>,
    #[schema(nullable = false)]
    username: Option<String>,
    #[schema(nullable = false)]
    password: Option<String>,
}

/// The login form of RFC 6749 §4.1.1 with PKCE.
#[utoipa::path(
    get,
    path = "/oauth/authorize",
    operation_id = "authorize",
    params(AuthorizationQuery),
    responses(
        (status = 200, description = "The form", content_type = CONTENT_TYPE),
        (status = 303, description = "To the client, with an error of RFC 6749 §4.1.2.1"),
        (
            status = 400,
            description = "The client or its redirect URI is unknown",
            content_type = CONTENT_TYPE,
        ),
    )
)]
pub(crate) async fn show(call: Call) -> HttpResponse {
    let parameters: Parameters =
        url::form_urlencoded::parse(call.request.query_string().as_bytes())
            .into_owned()
            .collect();
    match request::read(&parameters, &call.clients, call.issuer.audience()) {
        Ok(authorization) => form::response(&authorization, "", None),
        Err(refusal) => refuse(&call, refusal),
    }
}

/// The login form, filled in.
#[utoipa::path(
    post,
    path = "/oauth/authorize",
    operation_id = "submitLogin",
    request_body(content = AuthorizationForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the client, with a code or an error"),
        (
            status = 400,
            description = "The client or its redirect URI is unknown",
            content_type = CONTENT_TYPE,
        ),
        (
            status = 401,
            description = "The name or the password is wrong: the form again",
            content_type = CONTENT_TYPE,
        ),
        (
            status = 403,
            description = "Another site sent it, or the account is disabled",
            content_type = CONTENT_TYPE,
        ),
        (status = 413, description = "The body is too large", content_type = CONTENT_TYPE),
        (
            status = 429,
            description = "Too many logins have failed: the form again",
            content_type = CONTENT_TYPE,
        ),
        (
            status = 503,
            description = "Something needed to answer did not answer",
            content_type = CONTENT_TYPE,
        ),
    )
)]
pub(crate) async fn submit(call: Call, form: web::Form<Parameters>) -> HttpResponse {
    // Only our own form may try a password, or another site could log its visitor in as somebody.
    if signed_in::is_foreign(&call.request) {
        return form::refused(StatusCode::FORBIDDEN, "Another site sent this form.");
    }
    let parameters = form.into_inner();
    let authorization = match request::read(&parameters, &call.clients, call.issuer.audience()) {
        Ok(authorization) => authorization,
        Err(refusal) => return refuse(&call, refusal),
    };
    let field = |name| request::given(&parameters, name).unwrap_or_default();
    let username = field("username");
    let presented = Presented::new(username, Secret::new(field("password").to_owned()));
    let (outcome, remaining) = logged_in(&call, &authorization, presented).await;
    call.metrics.login("code", password::outcome_name(&outcome));
    match outcome {
        Ok(code) => redirect(
            &call,
            &authorization.purpose.redirect_uri,
            authorization.state.as_deref(),
            &[("code", code.expose())],
        ),
        Err(error) => again(&call, &authorization, username, &error, remaining),
    }
}

/// Forms that cannot be read are answered as a page.
pub(crate) fn form_config() -> web::FormConfig {
    web::FormConfig::default()
        .limit(JSON_LIMIT_BYTES)
        .error_handler(|error, _| {
            let status = match &error {
                UrlencodedError::Overflow { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                UrlencodedError::Payload(error) if is_late(error) => StatusCode::REQUEST_TIMEOUT,
                _ => StatusCode::BAD_REQUEST,
            };
            let response = form::refused(status, "The form could not be read.");
            InternalError::from_response(error, response).into()
        })
}

async fn logged_in(
    call: &Call,
    authorization: &Authorization,
    presented: Presented,
) -> (Result<Secret<String>, Error>, Option<Remaining>) {
    let (user, remaining) = password::check(call, presented).await;
    let code = match user {
        Ok(user) => {
            let issued = call.codes.issue(&authorization.purpose, &user, call.at());
            issued.await.map_err(Error::from)
        }
        Err(error) => Err(error),
    };
    (code, remaining)
}

/// The form once more with what went wrong, under the status and the header fields that `POST
/// /login` would answer with.
fn again(
    call: &Call,
    authorization: &Authorization,
    username: &str,
    error: &Error,
    remaining: Option<Remaining>,
) -> HttpResponse {
    let answer = error.error_response();
    let mut response = form::response(authorization, username, Some(error));
    *response.status_mut() = answer.status();
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = answer.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    if let Some(remaining) = remaining {
        rate_limit::add(response.headers_mut(), &call.limits, remaining);
    }
    response
}

/// RFC 6749 §4.1.2.1: at the client, unless the browser cannot be sent there safely.
fn refuse(call: &Call, refusal: Refusal) -> HttpResponse {
    match refusal {
        Refusal::Here(reason) => form::refused(StatusCode::BAD_REQUEST, reason),
        Refusal::AtClient {
            redirect_uri,
            state: opaque,
            error,
            reason,
        } => redirect(
            call,
            &redirect_uri,
            opaque.as_deref(),
            &[("error", error), ("error_description", reason)],
        ),
    }
}

/// RFC 6749 §4.1.2, with `iss` (RFC 9207 §2) and as 303, so that no password is sent on (RFC 9700
/// §4.12).
fn redirect(
    call: &Call,
    redirect_uri: &str,
    opaque: Option<&str>,
    answer: &[(&str, &str)],
) -> HttpResponse {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        // The configuration lets none through that cannot be read.
        return form::refused(StatusCode::BAD_REQUEST, request::UNKNOWN_URI);
    };
    url.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(opaque.map(|opaque| ("state", opaque)))
        .append_pair("iss", call.issuer.name());
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, url.as_str()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

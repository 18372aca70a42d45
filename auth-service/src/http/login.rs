//! `POST /login`: a password for a token or a session. Below it, what else a user does for
//! themselves: registers, logs out, sees and ends their own logins.

pub(crate) mod logout;
pub(crate) mod register;
pub(crate) mod sessions;

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::header, web};
use serde_json::{Value, json};
use shared::{
    server::trace_of,
    session::{Creation, SessionId, SessionRecord},
    telemetry::trace::TraceHandle,
};

use super::{
    body::Body,
    cookie, ending,
    error::Error,
    oauth::token::login_response,
    password::{self, Presented},
    rate_limit, signed_in,
    state::State,
};
use crate::{clients::CLIENT_ID, refresh::Beginning, users::User};

/// What a caller wants for the password.
#[derive(Clone, Copy, Debug)]
enum Credential {
    Token,
    Session,
}

struct Login {
    presented: Presented,
    credential: Credential,
}

pub(crate) async fn login(
    request: HttpRequest,
    state: web::Data<State>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let Login {
        presented,
        credential,
    } = read(json.into_inner())?;
    let trace = trace_of(&request);
    let (user, remaining) = password::check(&request, &state, presented, trace.as_ref()).await;
    let outcome = match user {
        Ok(user) => match credential {
            Credential::Token => give_token(&state, &user, trace.as_ref()).await,
            Credential::Session => give_session(&state, &user, &request, trace.as_ref()).await,
        },
        Err(error) => Err(error),
    };
    state
        .metrics
        .login(credential.name(), password::outcome_name(&outcome));
    let mut response = outcome.unwrap_or_else(|error| error.error_response());
    if let Some(remaining) = remaining {
        rate_limit::add(response.headers_mut(), &state.limits, remaining);
    }
    Ok(response)
}

impl Credential {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

fn read(json: Value) -> Result<Login, Error> {
    let mut body = Body::new(json)?;
    let username = body.text("username");
    let password = body.text("password");
    let credential = body.text("credential").and_then(|text| {
        let credential = match text.expose().as_str() {
            "token" => Ok(Credential::Token),
            "session" => Ok(Credential::Session),
            _ => Err(vec!["must be token or session"]),
        };
        body.check("credential", credential)
    });
    let read = username
        .zip(password)
        .zip(credential)
        .map(|((username, password), credential)| Login {
            presented: Presented::new(username.expose(), password),
            credential,
        });
    body.finish(read)
}

async fn give_token(
    state: &State,
    user: &User,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let limit = state.issuer.refresh_limit();
    let (login, refresh_token) = state
        .refresh_tokens
        .start(
            Beginning {
                user_id: &user.id,
                client_id: CLIENT_ID,
                login_at: user.issue_at,
                expires_at: limit,
            },
            trace,
        )
        .await?;
    let token = state.issuer.access_token(user, CLIENT_ID, &login, limit)?;
    state.metrics.token_issued("login");
    Ok(login_response(&token, &refresh_token))
}

async fn give_session(
    state: &State,
    user: &User,
    request: &HttpRequest,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let (id, record) = begin_session(state, user, trace).await?;
    end_previous(state, request, trace).await;
    let expires_in = record.expires_at - record.created_at;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(cookie::set(&id, expires_in))
        .json(json!({ "session_id": id.expose(), "expires_in": expires_in })))
}

/// Writes a session. When all logins of the user were ended since the user was read, the user is
/// read once more: roles may have changed, and the account may be disabled.
async fn begin_session(
    state: &State,
    user: &User,
    trace: Option<&TraceHandle>,
) -> Result<(SessionId, SessionRecord), Error> {
    let mut user = user.clone();
    for _ in 0..2 {
        let (id, record) = state.issuer.session(&user);
        let created = state
            .sessions
            .create(&id, &record, record.created_at, trace);
        if created.await? == Creation::Created {
            return Ok((id, record));
        }
        let now = state.issuer.now();
        let account = state.users.by_id(&user.id, now, trace).await?;
        user = password::enabled(account.ok_or(Error::WrongCredentials)?)?;
    }
    Err(Error::Superseded)
}

/// Ends the session that the browser had before (ASVS 5.0, 7.2.4): its cookie is replaced, so
/// nobody could end it later.
async fn end_previous(state: &State, request: &HttpRequest, trace: Option<&TraceHandle>) {
    // Another site may not end it.
    if signed_in::foreign(request) {
        return;
    }
    let previous = request
        .cookie(cookie::NAME)
        .and_then(|cookie| SessionId::parse(cookie.value()));
    if let Some(previous) = previous
        && let Err(error) = ending::session(state, &previous, trace).await
    {
        // The login itself stands; the old session has its limits.
        tracing::warn!(%error, "the session before a login was not ended");
    }
}

//! `POST /login`: a password for a token or a session.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::{
    config::Secret,
    server::trace_of,
    session::{Creation, SessionId},
    telemetry::trace::TraceHandle,
};

use super::{State, body::Body, cookie, token::login_response};
use crate::{credentials::Username, error::Error, users::User};

/// What a caller wants for the password.
#[derive(Clone, Copy, Debug)]
enum Credential {
    Token,
    Session,
}

struct Login {
    /// `None` when no user can have the name: such a login must cost the same and fail the same.
    username: Option<Username>,
    password: Secret<String>,
    credential: Credential,
}

pub(super) async fn login(
    request: HttpRequest,
    state: web::Data<State>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let login = read(json.into_inner())?;
    let trace = trace_of(&request);
    let credential = login.credential;
    let outcome = match authenticate(&state, login, trace.as_ref()).await {
        Ok(user) => match credential {
            Credential::Token => give_token(&state, &user, trace.as_ref()).await,
            Credential::Session => give_session(&state, &user, &request, trace.as_ref()).await,
        },
        Err(error) => Err(error),
    };
    state
        .metrics
        .login(credential.name(), outcome_name(&outcome));
    outcome
}

impl Credential {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

fn outcome_name(outcome: &Result<HttpResponse, Error>) -> &'static str {
    match outcome {
        Ok(_) => "success",
        Err(Error::WrongCredentials) => "wrong_credentials",
        Err(_) => "error",
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
            username: Username::parse(username.expose()).ok(),
            password,
            credential,
        });
    body.finish(read)
}

/// One lookup and one Argon2id run, whoever asks for whatever.
async fn authenticate(
    state: &State,
    login: Login,
    trace: Option<&TraceHandle>,
) -> Result<User, Error> {
    let found = match &login.username {
        Some(username) => state.users.find(username, trace).await?,
        None => None,
    };
    let (user, hash) = match found {
        Some(found) => (Some(found.user), Some(found.password_hash)),
        None => (None, None),
    };
    let matches = state.passwords.verify(login.password, hash, trace).await?;
    user.filter(|_| matches).ok_or(Error::WrongCredentials)
}

async fn give_token(
    state: &State,
    user: &User,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let limit = state.issuer.refresh_limit();
    let (login, refresh_token) = state
        .refresh_tokens
        .start(&user.id, state.issuer.now(), limit, trace)
        .await?;
    let token = state.issuer.access_token(user, &login, limit)?;
    state.metrics.token_issued("login");
    Ok(login_response(&token, &refresh_token))
}

async fn give_session(
    state: &State,
    user: &User,
    request: &HttpRequest,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let (id, record) = state.issuer.session(user);
    let creation = state
        .sessions
        .create(&id, &record, record.created_at, trace)
        .await?;
    if creation == Creation::Refused {
        return Err(Error::Superseded);
    }
    end_previous(state, request, trace).await;
    let expires_in = record.expires_at - record.created_at;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(cookie::set(&id, expires_in))
        .json(json!({ "session_id": id.expose(), "expires_in": expires_in })))
}

/// Ends the session that the browser had before (ASVS 5.0, 7.2.4): its cookie is replaced, so
/// nobody could end it later.
async fn end_previous(state: &State, request: &HttpRequest, trace: Option<&TraceHandle>) {
    let previous = request
        .cookie(cookie::NAME)
        .and_then(|cookie| SessionId::parse(cookie.value()));
    if let Some(previous) = previous
        && let Err(error) = state.sessions.end(&previous, trace).await
    {
        // The login itself stands; the old session has its limits.
        tracing::warn!(%error, "the session before a login was not ended");
    }
}

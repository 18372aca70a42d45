//! `POST /login`: a password for a token or a session.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::header, web};
use serde_json::{Value, json};
use shared::{
    config::Secret,
    server::trace_of,
    session::{Creation, SessionId, SessionRecord},
    telemetry::trace::TraceHandle,
};

use super::{State, body::Body, cookie, ending, rate_limit, signed_in, token::login_response};
use crate::{
    credentials::Username,
    error::Error,
    limits::{self, Attempt, LimitError, Standing},
    users::{Account, User},
};

/// What a caller wants for the password.
#[derive(Clone, Copy, Debug)]
enum Credential {
    Token,
    Session,
}

struct Login {
    /// Whose password is guessed, as far as limits are concerned: any text, in lower case.
    account: String,
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
    let (outcome, standing) = limited(&request, &state, login, trace.as_ref()).await;
    state
        .metrics
        .login(credential.name(), outcome_name(&outcome));
    let mut response = outcome.unwrap_or_else(|error| error.error_response());
    if let Some(standing) = standing {
        rate_limit::add(response.headers_mut(), &state.limits, standing);
    }
    Ok(response)
}

/// Lets a login be tried within the limits of guessing, and counts it when it failed.
async fn limited(
    request: &HttpRequest,
    state: &State,
    login: Login,
    trace: Option<&TraceHandle>,
) -> (Result<HttpResponse, Error>, Option<Standing>) {
    let now = state.issuer.now();
    // A request over a socket has a peer; one without shares a budget with all of its kind.
    let address = limits::client_address(request, &state.trusted_proxies)
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let admitted = state.limits.admit(&login.account, address, now, trace);
    let attempt = match admitted.await {
        Ok(attempt) => attempt,
        Err(LimitError::Empty(standing)) => {
            return (Err(Error::TooManyFailures(standing)), Some(standing));
        }
        Err(LimitError::Database(error)) => return (Err(error.into()), None),
    };
    let credential = login.credential;
    match authenticate(state, login, trace).await {
        Ok(user) => {
            let standing = remember(state, &attempt, now, trace).await;
            let given = match credential {
                Credential::Token => give_token(state, &user, trace).await,
                Credential::Session => give_session(state, &user, request, trace).await,
            };
            (given, standing)
        }
        Err(Error::WrongCredentials) => match state.limits.failed(&attempt, now, trace).await {
            Ok(standing) => (Err(Error::WrongCredentials), Some(standing)),
            // A guess that is not counted must not be answered.
            Err(error) => (Err(error.into()), None),
        },
        Err(error) => (Err(error), None),
    }
}

/// The password was right, so the login goes on even if that is not remembered.
async fn remember(
    state: &State,
    attempt: &Attempt,
    now: u64,
    trace: Option<&TraceHandle>,
) -> Option<Standing> {
    let outcome = state.limits.succeeded(attempt, now, trace).await;
    outcome
        .inspect_err(|error| tracing::warn!(%error, "the address of a login is not remembered"))
        .ok()
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
        Err(Error::TooManyFailures(_)) => "limited",
        Err(Error::Disabled) => "disabled",
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
            account: username.expose().to_lowercase(),
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
        Some(username) => {
            let now = state.issuer.now();
            state.users.find(username, now, trace).await?
        }
        None => None,
    };
    let (account, hash) = match found {
        Some(mut found) => {
            let hash = std::mem::take(&mut found.password_hash);
            (Some(Account::from(found)), Some(hash))
        }
        None => (None, None),
    };
    let matches = state.passwords.verify(login.password, hash, trace).await?;
    // Only who knows the password learns that the account is disabled.
    enabled(account.filter(|_| matches).ok_or(Error::WrongCredentials)?)
}

fn enabled(account: Account) -> Result<User, Error> {
    if account.disabled {
        Err(Error::Disabled)
    } else {
        Ok(account.user)
    }
}

async fn give_token(
    state: &State,
    user: &User,
    trace: Option<&TraceHandle>,
) -> Result<HttpResponse, Error> {
    let limit = state.issuer.refresh_limit();
    let (login, refresh_token) = state
        .refresh_tokens
        .start(&user.id, user.issue_at, limit, trace)
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
        let account = state.users.account(&user.id, now, trace).await?;
        user = enabled(account.ok_or(Error::WrongCredentials)?)?;
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

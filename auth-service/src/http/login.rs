//! `POST /login`: a password for a token or a session. Below it, what else a user does for
//! themselves: registers, logs out, sees and ends their own logins.

pub(crate) mod logout;
pub(crate) mod register;
pub(crate) mod sessions;

use actix_web::{HttpResponse, ResponseError, http::StatusCode, web};
use serde::Serialize;
use serde_json::Value;
use shared::{
    config::Secret,
    session::{Creation, SessionId, SessionRecord},
};
use utoipa::ToSchema;

use super::{
    answer,
    body::{Body, JsonRefusals},
    call::Call,
    cookie, ending,
    error::Error,
    oauth::token::TokenAnswer,
    password::{self, Presented},
    rate_limit, signed_in,
};
use crate::{clients::CLIENT_ID, refresh::Beginning, users::User};

#[derive(ToSchema)]
struct Login {
    #[schema(value_type = String)]
    username: Secret<String>,
    #[schema(value_type = String)]
    password: Secret<String>,
    credential: Wanted,
}

/// What a login is to give.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Wanted {
    Token,
    Session,
}

/// What a login gives, as it was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum LoggedIn {
    Token(TokenAnswer),
    Session(SessionAnswer),
}

/// A session; browsers get the id as the cookie `__Host-sid` too.
#[derive(Serialize, ToSchema)]
struct SessionAnswer {
    #[schema(pattern = "^[A-Za-z0-9_-]{43}([A-Za-z0-9_-]{2})?$")]
    session_id: String,
    /// Seconds to the absolute limit.
    #[schema(minimum = 0)]
    expires_in: u64,
}

/// A password for a token or a session.
#[utoipa::path(
    post,
    path = "/login",
    request_body = Login,
    responses(
        JsonRefusals,
        (
            status = 200,
            description = "What was asked for",
            body = LoggedIn,
            headers(
                ("set-cookie", description = "Only for a session: its id, as __Host-sid"),
                ("ratelimit-policy", description = "The budgets of failures"),
                ("ratelimit", description = "How the budget of the account at this address stands"),
            )
        ),
        (status = 401, description = "The username or the password is wrong"),
        (
            status = 429,
            description = "Too many logins have failed",
            headers(
                ("ratelimit-policy", description = "The budgets, draft-ietf-httpapi-ratelimit-headers"),
                ("ratelimit", description = "How the empty one stands"),
            )
        ),
    )
)]
pub(crate) async fn login(call: Call, json: web::Json<Value>) -> Result<HttpResponse, Error> {
    let login = Login::read(json.into_inner())?;
    let presented = Presented::new(login.username.expose(), login.password);
    let (user, remaining) = password::check(&call, presented).await;
    let outcome = match (user, login.credential) {
        (Ok(user), Wanted::Token) => give_token(&call, &user).await,
        (Ok(user), Wanted::Session) => give_session(&call, &user).await,
        (Err(error), _) => Err(error),
    };
    call.metrics
        .login(login.credential.name(), password::outcome_name(&outcome));
    let mut response = outcome.unwrap_or_else(|error| error.error_response());
    if let Some(remaining) = remaining {
        rate_limit::add(response.headers_mut(), &call.limits, remaining);
    }
    Ok(response)
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

impl Login {
    fn read(json: Value) -> Result<Self, Error> {
        let mut body = Body::new(json)?;
        let username = body.text("username");
        let password = body.text("password");
        let credential = body.text("credential").and_then(|text| {
            let credential = match text.expose().as_str() {
                "token" => Ok(Wanted::Token),
                "session" => Ok(Wanted::Session),
                _ => Err(vec!["must be token or session"]),
            };
            body.check("credential", credential)
        });
        let read = username.zip(password).zip(credential);
        body.finish(read.map(|((username, password), credential)| Self {
            username,
            password,
            credential,
        }))
    }
}

async fn give_token(call: &Call, user: &User) -> Result<HttpResponse, Error> {
    let beginning = Beginning {
        user_id: &user.id,
        client_id: CLIENT_ID,
        login_at: user.issue_at,
        generation: user.generation,
        expires_at: call.issuer.refresh_limit(),
        scope: None,
    };
    let (login, refresh_token) = call.refresh_tokens.start(beginning, call.at()).await?;
    ending::excess(call, &user.id, &login).await;
    let token = call
        .issuer
        .access_token(user, CLIENT_ID, &login, beginning.expires_at, None)?;
    call.metrics.token_issued("login");
    let answer = TokenAnswer::renewable(&token, &refresh_token);
    Ok(answer::json(StatusCode::OK, &LoggedIn::Token(answer)))
}

async fn give_session(call: &Call, user: &User) -> Result<HttpResponse, Error> {
    let (id, record) = begin_session(call, user).await?;
    end_previous(call).await;
    let expires_in = record.expires_at - record.created_at;
    let answer = LoggedIn::Session(SessionAnswer {
        session_id: id.expose().to_owned(),
        expires_in,
    });
    let mut response = answer::json(StatusCode::OK, &answer);
    cookie::add(&mut response, cookie::set(&id, expires_in));
    Ok(response)
}

/// Writes a session. When all logins of the user were ended since the user was read, the user is
/// read once more: roles may have changed, and the account may be disabled.
async fn begin_session(call: &Call, user: &User) -> Result<(SessionId, SessionRecord), Error> {
    let mut user = user.clone();
    for _ in 0..2 {
        let (id, record) = call.issuer.session(&user);
        let created = call
            .sessions
            .create(&id, &record, record.created_at, call.trace());
        if created.await? == Creation::Created {
            return Ok((id, record));
        }
        let account = call.users.by_id(&user.id, call.at()).await?;
        user = password::enabled(account.ok_or(Error::WrongCredentials)?)?;
    }
    Err(Error::Superseded)
}

/// Ends the session that the browser had before (ASVS 5.0, 7.2.4): its cookie is replaced, so
/// nobody could end it later.
async fn end_previous(call: &Call) {
    // Another site may not end it.
    if signed_in::is_foreign(&call.request) {
        return;
    }
    // Of two that differ, nobody knows which one the browser had.
    let found = signed_in::cookie(&call.request).ok().flatten();
    let previous = found.and_then(SessionId::parse);
    if let Some(previous) = previous
        && let Err(error) = ending::session(call, &previous).await
    {
        // The login itself is good; the old session has its limits.
        tracing::warn!(%error, "the session before a login was not ended");
    }
}

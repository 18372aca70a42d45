//! `GET /sessions`, `DELETE /sessions` and `DELETE /sessions/{id}`: what a user sees and ends of
//! their own logins, those for tokens and those for sessions.

mod page;

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Serialize;
use shared::session::Session;
use utoipa::ToSchema;

use self::page::Page;
use crate::{
    clients::CLIENT_ID,
    http::{
        answer,
        call::Call,
        cookie,
        ending::{self, EndAnswers, EndedKind},
        error::Error,
        signed_in::{SignedIn, UserRefusals},
    },
    refresh::Listed,
    revocations::Push,
};

#[derive(Serialize, ToSchema)]
struct Logins {
    /// The latest first.
    sessions: Vec<ListedLogin>,
    /// What to ask for `after` for those that follow; absent when none do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// Times are Unix seconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ListedLogin {
    /// Public: it is no credential.
    id: String,
    kind: LoginKind,
    /// The client that it was made with.
    client_id: String,
    created_at: u64,
    /// The last request up to a tenth of the idle limit; for tokens the last renewal.
    last_seen: u64,
    expires_at: u64,
    /// Whether this request was made with it.
    current: bool,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum LoginKind {
    Token,
    Session,
}

/// The logins of the caller.
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "logins",
    security(("bearer" = []), ("session" = [])),
    params(
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 100,
            description = "How many at most; 50 when it is not said"),
        ("after" = Option<String>, Query, pattern = "^[0-9]{1,12}\\.[ -~]{1,64}$",
            description = "`next` of the answer that these follow"),
    ),
    responses(
        UserRefusals,
        (status = 200, description = "Those for tokens and those for sessions", body = Logins),
    )
)]
pub(crate) async fn list(call: Call) -> Result<HttpResponse, Error> {
    let page = Page::read(call.request.query_string())?;
    let caller = SignedIn::of(&call).await?;
    let now = call.now();
    let user = &caller.user.id;
    let most = call.issuer.most_logins();
    let logins = call.refresh_tokens.list(user, most, call.at()).await?;
    let sessions = call.sessions.list(user, now.get(), call.trace()).await?;
    let logins = logins.into_iter().map(ListedLogin::from);
    let sessions = sessions.into_iter().map(ListedLogin::from);
    let (mut sessions, next) = page.of(logins.chain(sessions).collect());
    for login in &mut sessions {
        login.current = login.id == caller.login;
    }
    Ok(answer::json(StatusCode::OK, &Logins { sessions, next }))
}

/// Ends one login of the caller.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    operation_id = "endLogin",
    security(("bearer" = []), ("session" = [])),
    params(("id" = String, Path, description = "As the list shows it")),
    responses(
        UserRefusals,
        EndAnswers,
        (status = 404, description = "The caller has no such login"),
    )
)]
pub(crate) async fn end(call: Call, id: web::Path<String>) -> Result<HttpResponse, Error> {
    let caller = SignedIn::of(&call).await?;
    // No login has such an id, and PostgreSQL takes no NUL. Another's is as unknown as none.
    if id.chars().any(char::is_control) {
        return Err(Error::NotFound);
    }
    let user = &caller.user.id;
    let entry = call
        .revocations
        .end_login(&id, Some(user), call.at())
        .await?;
    let mut response = if let Some(entry) = entry {
        let push = ending::push(&call, &entry).await;
        ending::ended(EndedKind::Token, push)
    } else if ending::session_by_name(&call, user, &id).await? {
        ending::ended(EndedKind::Session, Push::Published)
    } else {
        return Err(Error::NotFound);
    };
    if *id == caller.login && caller.by_cookie {
        cookie::add(&mut response, cookie::expire());
    }
    Ok(response)
}

// ASVS 5.0, 7.4.3.
/// Ends every login of the caller but this one.
#[utoipa::path(
    delete,
    path = "/sessions",
    operation_id = "endOtherLogins",
    security(("bearer" = []), ("session" = [])),
    responses(UserRefusals, EndAnswers)
)]
pub(crate) async fn end_others(call: Call) -> Result<HttpResponse, Error> {
    let caller = SignedIn::of(&call).await?;
    let spared = Some(caller.login.as_str()).filter(|login| !login.is_empty());
    let entry = call
        .revocations
        .end_others(&caller.user.id, spared, call.at())
        .await?
        .ok_or(Error::NotFound)?;
    let push = ending::push(&call, &entry).await;
    Ok(ending::ended(EndedKind::Others, push))
}

impl From<Listed> for ListedLogin {
    fn from(login: Listed) -> Self {
        Self {
            id: login.family,
            kind: LoginKind::Token,
            client_id: login.client_id,
            created_at: login.created_at.get(),
            last_seen: login.renewed_at.get(),
            expires_at: login.expires_at.get(),
            current: false,
        }
    }
}

impl From<Session> for ListedLogin {
    fn from(Session { record, last_seen }: Session) -> Self {
        Self {
            id: record.sid,
            kind: LoginKind::Session,
            client_id: CLIENT_ID.to_owned(),
            created_at: record.created_at,
            last_seen,
            expires_at: record.expires_at,
            current: false,
        }
    }
}

//! `GET` and `PATCH /users/{username}` and `POST /revocations`: what an administrator sees and
//! changes of users and takes back from anybody.

use std::collections::HashSet;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::{server::trace_of, session::SessionId, telemetry::trace::TraceHandle};

use super::{
    State,
    body::Body,
    ending,
    signed_in::{ADMIN, SignedIn},
};
use crate::{
    credentials::{Username, role_faults},
    error::Error,
    revocations::Push,
    users::Account,
};

/// A token and a session carry the roles of their user, and a header has to hold them.
const MOST_ROLES: usize = 32;

/// What changes of a user; nothing else can.
struct Changes {
    roles: Option<Vec<String>>,
    disabled: Option<bool>,
}

pub(super) async fn show(
    request: HttpRequest,
    state: web::Data<State>,
    username: web::Path<String>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    SignedIn::admin(&request, &state, trace.as_ref()).await?;
    let account = find(&state, &username, trace.as_ref()).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(shown(&account)))
}

/// Roles first: who is disabled and loses a role at once has neither afterwards.
pub(super) async fn change(
    request: HttpRequest,
    state: web::Data<State>,
    username: web::Path<String>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    let trace = trace.as_ref();
    let admin = SignedIn::admin(&request, &state, trace).await?;
    let changes = read(json.into_inner())?;
    let mut account = find(&state, &username, trace).await?;
    let user = account.user.id.clone();
    if user == admin.user.id && changes.lock_out() {
        return Err(Error::OwnAccount);
    }
    let mut push = Push::Published;
    let now = state.issuer.now();
    if let Some(roles) = changes.roles.filter(|roles| *roles != account.user.roles) {
        let entry = state
            .revocations
            .set_roles(&user, &roles, now, trace)
            .await?;
        push = push.and(ending::push(&state, &entry.ok_or(Error::NotFound)?, trace).await);
        account.user.roles = roles;
    }
    match changes.disabled {
        // Again, when it is asked for again: whatever went wrong the first time.
        Some(true) => {
            let ended = state.revocations.end_user(&user, true, now, trace).await?;
            push = push.and(ending::push(&state, &ended.ok_or(Error::NotFound)?, trace).await);
            account.disabled = true;
        }
        Some(false) => {
            state.revocations.enable(&user, trace).await?;
            account.disabled = false;
        }
        None => {}
    }
    tracing::info!(
        admin = %admin.user.id, subject = %user, roles = ?account.user.roles,
        disabled = account.disabled, "an administrator changed a user"
    );
    Ok(ending::answer(push, shown(&account)))
}

/// Takes back a token by its `jti`, a login by its `sid`, all of a user by their id or name, or
/// everything.
pub(super) async fn revoke(
    request: HttpRequest,
    state: web::Data<State>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let trace = trace_of(&request);
    let trace = trace.as_ref();
    let admin = SignedIn::admin(&request, &state, trace).await?;
    let (kind, id) = read_revocation(json.into_inner())?;
    let now = state.issuer.now();
    let revocations = &state.revocations;
    let entry = match kind.as_str() {
        "token" => Some(revocations.end_token(&id, now, trace).await?),
        "session" => revocations.end_login(&id, None, now, trace).await?,
        "user" => {
            let user = match state.users.account(&id, now, trace).await? {
                Some(account) => account.user.id,
                None => find(&state, &id, trace).await?.user.id,
            };
            revocations.end_user(&user, false, now, trace).await?
        }
        _ => Some(revocations.end_everything(now, trace).await?),
    };
    let entry = entry.ok_or(Error::NotFound)?;
    tracing::info!(admin = %admin.user.id, kind, id, "an administrator took something back");
    let push = ending::push(&state, &entry, trace).await;
    Ok(ending::answer(push, json!({ "ended": kind })))
}

impl Changes {
    fn lock_out(&self) -> bool {
        let demoted = |roles: &Vec<String>| roles.iter().all(|role| role != ADMIN);
        self.disabled == Some(true) || self.roles.as_ref().is_some_and(demoted)
    }
}

async fn find(
    state: &State,
    username: &str,
    trace: Option<&TraceHandle>,
) -> Result<Account, Error> {
    // No user can have another name.
    let username = Username::parse(username).map_err(|_| Error::NotFound)?;
    let found = state
        .users
        .find(&username, state.issuer.now(), trace)
        .await?;
    found.map(Account::from).ok_or(Error::NotFound)
}

fn shown(account: &Account) -> Value {
    json!({
        "id": account.user.id,
        "username": account.user.username,
        "roles": account.user.roles,
        "disabled": account.disabled,
    })
}

fn read(json: Value) -> Result<Changes, Error> {
    let mut body = Body::new(json)?;
    let roles = body.optional_texts("roles").and_then(|roles| {
        let mut faults: Vec<_> = roles.iter().flat_map(|role| role_faults(role)).collect();
        if roles.len() > MOST_ROLES {
            faults.push("must be 32 at most: each token carries them");
        }
        let roles = without_repetition(roles);
        body.check(
            "roles",
            if faults.is_empty() {
                Ok(roles)
            } else {
                Err(faults)
            },
        )
    });
    let disabled = body.optional_flag("disabled");
    if roles.is_none() && disabled.is_none() {
        body.fault("roles, disabled", "name at least one of them");
    }
    body.finish(Some(Changes { roles, disabled }))
}

/// The same names, each where it stands first.
fn without_repetition(mut names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn read_revocation(json: Value) -> Result<(String, String), Error> {
    let mut body = Body::new(json)?;
    let kind = body.text("kind").map(|kind| kind.expose().clone());
    let kind = kind.and_then(|kind| {
        let known = ["token", "session", "user", "all"].contains(&kind.as_str());
        let reason = vec!["must be token, session, user or all"];
        body.check("kind", if known { Ok(kind) } else { Err(reason) })
    });
    let id = match kind.as_deref() {
        None => Some(String::new()),
        Some("all") => {
            // Whoever says which one, in whatever spelling, does not mean all.
            body.nothing_else();
            Some(String::new())
        }
        Some(kind) => body.text("id").and_then(|id| {
            let outcome = revocable(kind, id.expose());
            body.check("id", outcome)
        }),
    };
    body.finish(kind.zip(id))
}

/// An id that something can have. A credential is none: it would be told to logs and administrators,
/// and the session or login that it opens would go on.
fn revocable(kind: &str, id: &str) -> Result<String, Vec<&'static str>> {
    if !(1..=128).contains(&id.chars().count()) || id.chars().any(char::is_control) {
        return Err(vec!["must have 1 to 128 characters that can be printed"]);
    }
    if kind != "user" && SessionId::parse(id).is_some() {
        return Err(vec![
            "is a session id or a refresh token; a session is named by its sid, a token by its jti",
        ]);
    }
    Ok(id.to_owned())
}

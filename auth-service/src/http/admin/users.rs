//! `GET` and `PATCH /users/{username}`: what an administrator sees and changes of users.

use std::collections::HashSet;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::{server::trace_of, telemetry::trace::TraceHandle};

use crate::{
    credentials::{Username, role_faults},
    http::{
        body::Body,
        ending,
        error::Error,
        signed_in::{ADMIN, SignedIn},
        state::State,
    },
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

pub(crate) async fn show(
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
pub(crate) async fn change(
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

impl Changes {
    fn lock_out(&self) -> bool {
        let demoted = |roles: &Vec<String>| roles.iter().all(|role| role != ADMIN);
        self.disabled == Some(true) || self.roles.as_ref().is_some_and(demoted)
    }
}

pub(crate) async fn find(
    state: &State,
    username: &str,
    trace: Option<&TraceHandle>,
) -> Result<Account, Error> {
    // No user can have another name.
    let username = Username::parse(username).map_err(|_| Error::NotFound)?;
    let found = state
        .users
        .by_name(&username, state.issuer.now(), trace)
        .await?;
    found.ok_or(Error::NotFound)
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

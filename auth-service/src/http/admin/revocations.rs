//! `POST /revocations`: an administrator ends a token, a login, all of a user or everything.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use shared::{server::trace_of, session::SessionId};

use super::users::find;
use crate::http::{body::Body, ending, error::Error, signed_in::SignedIn, state::State};

/// Takes back a token by its `jti`, a login by its `sid`, all of a user by their id or name, or
/// everything.
pub(crate) async fn revoke(
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
        "token" => Some(revocations.revoke_token(&id, now, trace).await?),
        "session" => revocations.end_login(&id, None, now, trace).await?,
        "user" => {
            let user = match state.users.by_id(&id, now, trace).await? {
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

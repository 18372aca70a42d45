//! `/users`: what an administrator sees and changes of users.
//!
//! `/users/{username}` is for people. `/users/by-id/{id}` names a user whatever they are called.

use std::collections::HashSet;

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, RefOr, Schema, Type,
        schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder},
    },
};

use crate::{
    credentials::{Username, role_faults},
    http::{
        answer,
        body::{Body, JsonRefusals},
        call::Call,
        ending,
        error::Error,
        signed_in::{AdminRefusals, SignedIn},
    },
    revocations::{Change, Changes, Push},
    users::{self, User, has_admin},
};

/// A token carries the roles of its user, and a header has to hold it: so many of the longest names make
/// a token of 5.5 KB, which the servers that take a header field of 8 KB at most let through.
const MOST_ROLES: usize = 100;

#[derive(Serialize, ToSchema)]
struct Account {
    id: String,
    username: String,
    roles: Vec<String>,
    disabled: bool,
}

/// What changes of a user; nothing else can.
struct Wanted;

#[derive(Serialize, ToSchema)]
struct Changed {
    id: String,
    username: String,
    roles: Vec<String>,
    disabled: bool,
    revocation: Push,
}

/// What a change of a user may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described and never made")]
enum ChangeAnswers {
    /// It is over and published to replicas that follow revocations
    #[response(status = 200)]
    Published(Changed),
    /// It is in the database, and published when Redis can be reached
    #[response(status = 202)]
    Pending(Changed),
    /// There is no such user
    #[response(status = 404)]
    NoUser,
    /// The administrator would lock themselves out
    #[response(status = 409)]
    OwnAccount,
}

/// A user by name. Any name that somebody has is found so, also one that no path can hold.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "userByName",
    security(("bearer" = []), ("session" = [])),
    params(("username" = String, Query, description = "Compared without regard to case")),
    responses(
        AdminRefusals,
        (status = 200, description = "The user", body = Account),
        (status = 400, description = "No name is given, or several"),
        (status = 404, description = "There is no such user"),
    )
)]
pub(crate) async fn look_up(call: Call) -> Result<HttpResponse, Error> {
    SignedIn::admin(&call).await?;
    let query = call.request.query_string().as_bytes();
    let mut names = form_urlencoded::parse(query).filter(|(name, _)| name == "username");
    match (names.next(), names.next()) {
        (Some((_, username)), None) => Ok(shown(by_name(&call, &username).await?)),
        _ => Err(Error::Faulty(vec![
            "username: must be given once".to_owned(),
        ])),
    }
}

/// A user by name.
#[utoipa::path(
    get,
    path = "/users/{username}",
    operation_id = "user",
    security(("bearer" = []), ("session" = [])),
    params(("username" = String, Path, description = "Compared without regard to case")),
    responses(
        AdminRefusals,
        (status = 200, description = "The user", body = Account),
        (status = 404, description = "There is no such user"),
    )
)]
pub(crate) async fn show(call: Call, username: web::Path<String>) -> Result<HttpResponse, Error> {
    SignedIn::admin(&call).await?;
    Ok(shown(by_name(&call, &username).await?))
}

/// A user by id.
#[utoipa::path(
    get,
    path = "/users/by-id/{id}",
    operation_id = "userById",
    security(("bearer" = []), ("session" = [])),
    params(("id" = String, Path, description = "`sub` of the user's tokens")),
    responses(
        AdminRefusals,
        (status = 200, description = "The user", body = Account),
        (status = 404, description = "There is no such user"),
    )
)]
pub(crate) async fn show_by_id(call: Call, id: web::Path<String>) -> Result<HttpResponse, Error> {
    SignedIn::admin(&call).await?;
    Ok(shown(by_id(&call, &id).await?))
}

/// Other roles, or no more logins.
#[utoipa::path(
    patch,
    path = "/users/{username}",
    operation_id = "changeUser",
    security(("bearer" = []), ("session" = [])),
    params(("username" = String, Path, description = "Compared without regard to case")),
    request_body = Wanted,
    responses(JsonRefusals, AdminRefusals, ChangeAnswers)
)]
pub(crate) async fn change(
    call: Call,
    username: web::Path<String>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let admin = SignedIn::admin(&call).await?;
    let changes = Wanted::read(json.into_inner())?;
    let user = by_name(&call, &username).await?.user;
    changed(&call, &admin, user, &changes).await
}

/// Other roles, or no more logins.
#[utoipa::path(
    patch,
    path = "/users/by-id/{id}",
    operation_id = "changeUserById",
    security(("bearer" = []), ("session" = [])),
    params(("id" = String, Path, description = "`sub` of the user's tokens")),
    request_body = Wanted,
    responses(JsonRefusals, AdminRefusals, ChangeAnswers)
)]
pub(crate) async fn change_by_id(
    call: Call,
    id: web::Path<String>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let admin = SignedIn::admin(&call).await?;
    let changes = Wanted::read(json.into_inner())?;
    let user = by_id(&call, &id).await?.user;
    changed(&call, &admin, user, &changes).await
}

fn shown(account: users::Account) -> HttpResponse {
    let account = Account {
        id: account.user.id,
        username: account.user.username,
        roles: account.user.roles,
        disabled: account.disabled,
    };
    answer::json(StatusCode::OK, &account)
}

async fn changed(
    call: &Call,
    admin: &SignedIn,
    user: User,
    changes: &Changes,
) -> Result<HttpResponse, Error> {
    if user.id == admin.user.id && lock_out(changes) {
        return Err(Error::OwnAccount);
    }
    let change = call
        .revocations
        .change_account(&user.id, &admin.user.id, changes, call.at());
    let (roles, disabled, entries) = match change.await? {
        Change::Done {
            roles,
            disabled,
            entries,
        } => (roles, disabled, entries),
        Change::NotAllowed => return Err(Error::NotAllowed),
        Change::NoUser => return Err(Error::NotFound),
    };
    let mut push = Push::Published;
    for entry in &entries {
        push = push.and(ending::push(call, entry).await);
    }
    tracing::info!(
        admin = %admin.user.id, subject = %user.id, ?roles, disabled,
        "an administrator changed a user"
    );
    let changed = Changed {
        id: user.id,
        username: user.username,
        roles,
        disabled,
        revocation: push,
    };
    Ok(ending::answer(push, &changed))
}

impl Wanted {
    fn read(json: Value) -> Result<Changes, Error> {
        let mut body = Body::new(json)?;
        let roles = body.optional_texts("roles").and_then(|roles| {
            let mut faults: Vec<_> = roles.iter().flat_map(|role| role_faults(role)).collect();
            if roles.len() > MOST_ROLES {
                faults.push("must be 100 at most: each token carries them");
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
        // Who names something that cannot be changed here would think that it was.
        body.nothing_else();
        if roles.is_none() && disabled.is_none() {
            body.fault("roles, disabled", "name at least one of them");
        }
        body.finish(Some(Changes { roles, disabled }))
    }
}

fn lock_out(changes: &Changes) -> bool {
    let demoted = |roles: &Vec<String>| !has_admin(roles);
    changes.disabled == Some(true) || changes.roles.as_ref().is_some_and(demoted)
}

/// The user of a name.
pub(super) async fn by_name(call: &Call, username: &str) -> Result<users::Account, Error> {
    // No user can have another name.
    let username = Username::parse(username).map_err(|_| Error::NotFound)?;
    let found = call.users.by_name(&username, call.at()).await?;
    found.ok_or(Error::NotFound)
}

/// The user of an id.
pub(super) async fn by_id(call: &Call, id: &str) -> Result<users::Account, Error> {
    // PostgreSQL takes no such text.
    if id.contains('\0') {
        return Err(Error::NotFound);
    }
    let found = call.users.by_id(id, call.at()).await?;
    found.ok_or(Error::NotFound)
}

/// Each name once, in the order of their first places.
fn without_repetition(mut names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

impl ToSchema for Wanted {
    fn name() -> std::borrow::Cow<'static, str> {
        "Changes".into()
    }
}

/// At least one of both, which no derived schema says.
impl PartialSchema for Wanted {
    fn schema() -> RefOr<Schema> {
        let role = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[a-z0-9_-]{1,32}$"));
        let roles = ArrayBuilder::new()
            .items(role)
            .max_items(Some(MOST_ROLES))
            .build();
        let change = |required| {
            ObjectBuilder::new()
                .property("roles", roles.clone())
                .property("disabled", Object::with_type(Type::Boolean))
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
                .required(required)
        };
        let either = AnyOfBuilder::new()
            .item(change("roles").build())
            .item(change("disabled").build());
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

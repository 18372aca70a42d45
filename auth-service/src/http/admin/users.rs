//! `GET` and `PATCH /users/{username}`: what an administrator sees and changes of users.

use std::collections::HashSet;

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
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
    users::{self, has_admin},
};

/// A token and a session carry the roles of their user, and a header has to hold them.
const MOST_ROLES: usize = 32;

#[derive(Serialize, ToSchema)]
struct Account {
    id: String,
    username: String,
    roles: Vec<String>,
    disabled: bool,
}

/// What changes of a user; nothing else can.
struct Wanted(Changes);

#[derive(Serialize, ToSchema)]
struct Changed {
    id: String,
    username: String,
    roles: Vec<String>,
    disabled: bool,
    revocation: Push,
}

/// A user.
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
    let account = find(&call, &username).await?;
    let account = Account {
        id: account.user.id,
        username: account.user.username,
        roles: account.user.roles,
        disabled: account.disabled,
    };
    Ok(answer::json(StatusCode::OK, &account))
}

/// Other roles, or no more logins.
#[utoipa::path(
    patch,
    path = "/users/{username}",
    operation_id = "changeUser",
    security(("bearer" = []), ("session" = [])),
    params(("username" = String, Path, description = "Compared without regard to case")),
    request_body = Wanted,
    responses(
        JsonRefusals,
        AdminRefusals,
        (
            status = 200,
            description = "It is over and published to replicas that follow revocations",
            body = Changed,
        ),
        (
            status = 202,
            description = "It is in the database, and published when Redis can be reached",
            body = Changed,
        ),
        (status = 404, description = "There is no such user"),
        (status = 409, description = "The administrator would lock themselves out"),
    )
)]
pub(crate) async fn change(
    call: Call,
    username: web::Path<String>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let admin = SignedIn::admin(&call).await?;
    let changes = Wanted::read(json.into_inner())?;
    let user = find(&call, &username).await?.user;
    if user.id == admin.user.id && lock_out(&changes) {
        return Err(Error::OwnAccount);
    }
    let change = call
        .revocations
        .change_account(&user.id, &admin.user.id, &changes, call.at());
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
        push = push.and(ending::push(&call, entry).await);
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

pub(crate) async fn find(call: &Call, username: &str) -> Result<users::Account, Error> {
    // No user can have another name.
    let username = Username::parse(username).map_err(|_| Error::NotFound)?;
    let found = call.users.by_name(&username, call.at()).await?;
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

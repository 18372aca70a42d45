//! `POST /revocations`: an administrator ends a token, a login, all of a user or everything.

use actix_web::{HttpResponse, web};
use serde_json::Value;
use shared::session::SessionId;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema, Type,
        schema::{AdditionalProperties, OneOfBuilder},
    },
};

use super::users::{by_id, by_name};
use crate::{
    credentials::Username,
    http::{
        body::{Body, JsonRefusals},
        call::Call,
        ending::{self, EndAnswers, EndedKind},
        error::Error,
        signed_in::{AdminRefusals, SignedIn},
    },
    users::User,
};

/// What is to be revoked.
#[derive(Debug)]
enum Revocation {
    /// By its `jti`.
    Token(String),
    /// A login, by its `sid`.
    Session(String),
    /// All logins of a user.
    User(Whose),
    /// Everything.
    All,
}

/// How a user is named.
#[derive(Debug)]
enum Whose {
    /// By name, and nothing else.
    Name(String),
    /// By id, or by name where it is the id of nobody.
    IdOrName(String),
}

/// Revokes a token, a login, all of a user or everything.
#[utoipa::path(
    post,
    path = "/revocations",
    operation_id = "addRevocation",
    security(("bearer" = []), ("session" = [])),
    request_body = Revocation,
    responses(
        JsonRefusals,
        AdminRefusals,
        EndAnswers,
        (status = 404, description = "There is no such user"),
        (status = 409, description = "`id` is the id of one user and the name of another"),
    )
)]
pub(crate) async fn revoke(call: Call, json: web::Json<Value>) -> Result<HttpResponse, Error> {
    let admin = SignedIn::admin(&call).await?;
    let revocation = Revocation::read(json.into_inner())?;
    let revocations = &call.revocations;
    let (kind, entry) = match &revocation {
        Revocation::Token(jti) => {
            let entry = revocations.revoke_token_id(jti, call.at()).await?;
            (EndedKind::Token, Some(entry))
        }
        Revocation::Session(sid) => {
            let entry = revocations.end_login(sid, None, call.at()).await?;
            (EndedKind::Session, entry)
        }
        Revocation::User(whose) => {
            let user = whose.find(&call).await?.id;
            let entry = revocations.end_user(&user, call.at()).await?;
            (EndedKind::User, entry)
        }
        Revocation::All => {
            let entry = revocations.end_everything(call.at()).await?;
            (EndedKind::All, Some(entry))
        }
    };
    let entry = entry.ok_or(Error::NotFound)?;
    tracing::info!(admin = %admin.user.id, ?revocation, "an administrator revoked something");
    // Again, when it is asked for again: whatever went wrong the first time.
    let push = ending::push(&call, &entry.again()).await;
    Ok(ending::ended(kind, push))
}

impl Revocation {
    fn read(json: Value) -> Result<Self, Error> {
        let mut body = Body::new(json)?;
        let kind = body.text("kind");
        let read = match kind.as_ref().map(|kind| kind.expose().as_str()) {
            None => None,
            Some("all") => Some(Self::All),
            Some("token") => revocable(&mut body, false).map(Self::Token),
            Some("session") => revocable(&mut body, false).map(Self::Session),
            Some("user") => Whose::read(&mut body).map(Self::User),
            Some(_) => {
                body.fault("kind", "must be token, session, user or all");
                None
            }
        };
        // A body that names something beside it, in whatever spelling, means something else.
        body.nothing_else();
        body.finish(read)
    }
}

impl Whose {
    fn read(body: &mut Body) -> Option<Self> {
        match body.optional_text("username") {
            Some(name) => Some(Self::Name(name.expose().clone())),
            None => revocable(body, true).map(Self::IdOrName),
        }
    }

    /// A name that is another user's id must not end that user instead.
    async fn find(&self, call: &Call) -> Result<User, Error> {
        let text = match self {
            Self::Name(name) => return Ok(by_name(call, name).await?.user),
            Self::IdOrName(text) => text,
        };
        let named = match Username::parse(text) {
            Ok(name) => call.users.by_name(&name, call.at()).await?,
            Err(_) => None,
        };
        match (by_id(call, text).await, named) {
            (Ok(account), Some(named)) if account.user.id != named.user.id => {
                Err(Error::AmbiguousUser)
            }
            (Err(Error::NotFound), Some(named)) => Ok(named.user),
            (found, _) => Ok(found?.user),
        }
    }
}

/// An id that something can have. A credential is none: logs and administrators would see it, and
/// the session or login that it opens would go on.
fn revocable(body: &mut Body, of_user: bool) -> Option<String> {
    let id = body.text("id")?;
    let id = id.expose();
    if !(1..=128).contains(&id.chars().count()) || id.chars().any(char::is_control) {
        body.fault("id", "must have 1 to 128 characters that can be printed");
        None
    } else if !of_user && SessionId::parse(id).is_some() {
        body.fault(
            "id",
            "is a session id or a refresh token; a session is named by its sid, a token by its jti",
        );
        None
    } else {
        Some(id.clone())
    }
}

impl ToSchema for Revocation {}

/// One thing by its id, or everything and then nothing beside it, which no derived schema says.
impl PartialSchema for Revocation {
    fn schema() -> RefOr<Schema> {
        let kinds = |kinds: &[&str]| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(kinds.iter().copied()))
        };
        let strict = || Some(AdditionalProperties::FreeForm(false));
        // No credential has fewer characters: those of 43 and 45 are refused for tokens and sessions.
        let id = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "`jti`, `sid`, the id of a user, or a name that is nobody's id",
            ))
            .pattern(Some("^[ -~]{1,42}$"));
        let one = ObjectBuilder::new()
            .property("kind", kinds(&["token", "session", "user"]))
            .required("kind")
            .property("id", id)
            .required("id")
            .additional_properties(strict());
        let name = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[A-Za-z0-9._@-]{1,64}$"));
        let named = ObjectBuilder::new()
            .property("kind", kinds(&["user"]))
            .required("kind")
            .property("username", name)
            .required("username")
            .additional_properties(strict());
        let all = ObjectBuilder::new()
            .property("kind", kinds(&["all"]))
            .required("kind")
            .additional_properties(strict());
        let either = OneOfBuilder::new()
            .item(one.build())
            .item(named.build())
            .item(all.build());
        RefOr::T(Schema::OneOf(either.build()))
    }
}

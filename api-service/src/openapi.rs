//! What this service takes and answers, as OpenAPI.

use shared::openapi::{Credential, Document, Operation};
use utoipa::openapi::{HttpMethod, Object, ObjectBuilder, Type};

use crate::{
    carried,
    cart::Cart,
    routes::{self, Description, Greeting},
};

const CALLER: [Credential; 2] = [Credential::Bearer, Credential::SessionCookie];

/// The description of the service.
pub(crate) fn document() -> Document {
    Document::new(
        "Statewise api-service",
        env!("CARGO_PKG_VERSION"),
        "A small API that knows its callers by the configured strategy. Which kind of bearer it takes, \
         and whether the cookie counts, follows from the strategy. Every path that takes GET takes \
         HEAD as well.",
    )
    .get(
        routes::PUBLIC,
        Operation::new("public", "What anybody may read")
            .answers::<Greeting<'static>>(200, "No credential was looked at"),
    )
    .get(
        routes::ME,
        protected(Operation::new("me", "Who is calling, and who answers"))
            .answers::<Description<'static>>(200, "The caller is known"),
    )
    .get(
        routes::ADMIN,
        protected(Operation::new("admin", "The same, for administrators"))
            .answers::<Description<'static>>(200, "The caller is an administrator")
            .refuses(403, "The role admin is required"),
    )
    .get(
        routes::CART,
        carries(protected(Operation::new("readCart", "The cart of the login")))
            .answers_with::<Cart>(200, "The cart; that of a new login is empty", &CART_FIELDS)
            .refuses(403, "The credential belongs to no login"),
    )
    .on(
        HttpMethod::Put,
        routes::CART,
        carries(protected(Operation::new("writeCart", "Replaces the cart of the login")))
            .header(
                "If-Match",
                "The version that the change was made from, as the ETag of a cart says it",
                true,
                pattern(ENTITY_TAGS),
            )
            .json::<Cart>()
            .answers_with::<Cart>(200, "The cart as it is now", &CART_FIELDS)
            .refuses(403, "The credential belongs to no login")
            .refuses(412, "The cart is at another version by now")
            .refuses(413, "The body or the sealed state is too large")
            .refuses(415, "The body is not JSON")
            .refuses(428, "If-Match is missing or names no version"),
    )
}

/// RFC 9110 §8.8.3 and §13.1.1, without `*`, which names no version.
const ENTITY_TAGS: &str = r#"^(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*$"#;

const CART_FIELDS: [(&str, &str); 3] = [
    ("etag", "The version"),
    (
        carried::HEADER,
        "Only when there is something new to carry: the sealed state",
    ),
    ("set-cookie", "The same for browsers, as __Host-cart"),
];

/// What every path that needs a credential may answer.
fn protected(operation: Operation) -> Operation {
    operation
        .needs(&CALLER)
        .refuses(
            400,
            "The request is not understood, or which of several credentials or states is meant",
        )
        .refuses(401, "The credential is missing or not valid")
        .refuses(503, "Whether the credential is valid cannot be decided now")
}

fn carries(operation: Operation) -> Operation {
    operation.header(
        "Statewise-State",
        "The sealed state that the client carries; a browser sends it as the cookie __Host-cart",
        false,
        Object::with_type(Type::String),
    )
}

fn pattern(text: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(text))
        .build()
}

//! Logins of a user, and what an administrator changes and takes back.

use shared::openapi::{Document, Operation};
use utoipa::openapi::{
    HttpMethod, Object,
    schema::{ObjectBuilder, Type},
};

use super::{
    CALLER, administrators,
    bodies::{Account, Changed, Changes, EndedLogins, Logins, TakenBack},
    json,
};

const PUBLISHED: &str = "It is over, and replicas that follow revocations are told";
const PENDING: &str = "It is in the database, and carried out when Redis can be reached";

pub(super) fn add(document: Document) -> Document {
    users(own(document))
}

fn own(document: Document) -> Document {
    document
        .get(
            "/sessions",
            callers(Operation::new("logins", "The logins of the caller"))
                .answers::<Logins>(200, "Those for tokens and those for sessions"),
        )
        .on(
            HttpMethod::Delete,
            "/sessions",
            callers(Operation::new(
                "endOtherLogins",
                "Ends every login of the caller but this one",
            ))
            .answers::<EndedLogins>(200, PUBLISHED)
            .answers::<EndedLogins>(202, PENDING)
            .refuses(
                429,
                "The caller asked for it several times in the last seconds",
            ),
        )
        .on(
            HttpMethod::Delete,
            "/sessions/{id}",
            callers(Operation::new("endLogin", "Ends one login of the caller"))
                .path("id", "As the list shows it", text())
                .answers::<EndedLogins>(200, PUBLISHED)
                .answers::<EndedLogins>(202, PENDING)
                .refuses(404, "The caller has no such login"),
        )
}

fn users(document: Document) -> Document {
    let name = |operation: Operation| {
        administrators(operation)
            .path("username", "Compared without regard to case", text())
            .refuses(404, "There is no such user")
    };
    document
        .get(
            "/users/{username}",
            name(Operation::new("user", "A user")).answers::<Account>(200, "The user"),
        )
        .on(
            HttpMethod::Patch,
            "/users/{username}",
            json(name(Operation::new(
                "changeUser",
                "Other roles, or no more logins",
            )))
            .json::<Changes>()
            .answers::<Changed>(200, PUBLISHED)
            .answers::<Changed>(202, PENDING)
            .refuses(409, "The administrator would lock themselves out"),
        )
        .on(
            HttpMethod::Post,
            "/revocations",
            json(administrators(Operation::new(
                "takeBack",
                "Takes back a token, a login, all of a user or everything",
            )))
            .json::<TakenBack>()
            .answers::<EndedLogins>(200, PUBLISHED)
            .answers::<EndedLogins>(202, PENDING)
            .refuses(404, "There is no such user"),
        )
}

/// What every path for a user's own logins may answer.
fn callers(operation: Operation) -> Operation {
    operation
        .needs(&CALLER)
        .refuses(400, "More than one credential is presented")
        .refuses(401, "There is no credential, or it is not valid")
        .refuses(403, "The cookie was sent on behalf of another site")
        .refuses(503, "Something needed to answer did not answer")
}

fn text() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

//! What this service takes and answers, as OpenAPI.

mod bodies;
mod logins;

use shared::openapi::{Credential, Document, Operation};
use utoipa::openapi::{HttpMethod, Object, schema::Type};

use self::bodies::{
    AuthorizationForm, Ended, Introspection, KeySet, LoggedIn, Login, Metadata, OAuthRefusal,
    PresentedToken, Registered, Registration, SigningKey, SigningKeys, TokenAnswer, TokenRequest,
};

const CALLER: [Credential; 2] = [Credential::Bearer, Credential::SessionCookie];

/// The description of the service.
pub(crate) fn document() -> Document {
    let document = Document::new(
        "Statewise auth-service",
        env!("CARGO_PKG_VERSION"),
        "Users, logins, access tokens, sessions and the key set. Behind the gateway its paths begin \
         with /auth.",
    );
    known(keys(self::logins::add(oauth(authorization(credentials(
        document,
    ))))))
}

fn credentials(document: Document) -> Document {
    document
        .on(
            HttpMethod::Post,
            "/register",
            json(Operation::new("register", "A new user"))
                .json::<Registration>()
                .answers::<Registered>(201, "The user")
                .refuses(409, "The username is taken"),
        )
        .on(
            HttpMethod::Post,
            "/login",
            json(Operation::new(
                "login",
                "A password for a token or a session",
            ))
            .json::<Login>()
            .answers_with::<LoggedIn>(
                200,
                "What was asked for",
                &[
                    ("set-cookie", "Only for a session: its id, as __Host-sid"),
                    ("ratelimit-policy", "The budgets of failures"),
                    (
                        "ratelimit",
                        "How the budget of the account at this address stands",
                    ),
                ],
            )
            .refuses(401, "The username or the password is wrong")
            .refuses_with(
                429,
                "Too many logins have failed",
                &[
                    (
                        "ratelimit-policy",
                        "The budgets, draft-ietf-httpapi-ratelimit-headers",
                    ),
                    ("ratelimit", "How the empty one stands"),
                ],
            ),
        )
        .on(
            HttpMethod::Post,
            "/logout",
            Operation::new("logout", "Ends what the presented credential stands for")
                .needs(&CALLER)
                .answers::<Ended>(200, "What was ended, and replicas are told")
                .answers::<Ended>(202, "It has ended, and replicas will be told")
                .refuses(401, "There is no credential, or it is not valid")
                .refuses(403, "The cookie was sent on behalf of another site")
                .refuses(503, "Whether it ended is not known: present it again"),
        )
}

/// The authorization endpoint, for browsers.
fn authorization(document: Document) -> Document {
    let page = "text/html; charset=utf-8";
    let query = [
        ("response_type", "code"),
        (
            "client_id",
            "One of AUTH_PUBLIC_CLIENTS, or the page of this service",
        ),
        ("redirect_uri", "One of the client's, byte for byte"),
        ("state", "Given back as it came"),
        ("code_challenge", "RFC 7636 §4.2"),
        ("code_challenge_method", "S256"),
    ];
    let show = Operation::new("authorize", "The login form of RFC 6749 §4.1.1 with PKCE");
    let show = query.into_iter().fold(show, |show, (name, description)| {
        show.query(name, description, Object::with_type(Type::String))
    });
    document
        .get(
            "/oauth/authorize",
            show.answers_as(200, "The form", page)
                .answers_empty(303, "To the client, with an error of RFC 6749 §4.1.2.1")
                .answers_as(400, "The client or its redirect URI is unknown", page),
        )
        .on(
            HttpMethod::Post,
            "/oauth/authorize",
            Operation::new("submitLogin", "The login form, filled in")
                .form::<AuthorizationForm>()
                .answers_empty(303, "To the client, with a code or an error")
                .answers_as(400, "The client or its redirect URI is unknown", page)
                .answers_as(
                    401,
                    "The name or the password is wrong: the form again",
                    page,
                )
                .answers_as(
                    403,
                    "Another site sent it, or the account is disabled",
                    page,
                )
                .answers_as(413, "The body is too large", page)
                .answers_as(429, "Too many logins have failed: the form again", page)
                .answers_as(503, "Something needed to answer did not answer", page),
        )
        .get(
            "/page",
            Operation::new("page", "A page that logs in by a code with PKCE")
                .answers_as(200, "The page", page),
        )
        .get(
            "/page.js",
            Operation::new("pageScript", "Its script").answers_as(
                200,
                "The script",
                "text/javascript; charset=utf-8",
            ),
        )
        .get(
            "/page.css",
            Operation::new("pageStyle", "The style of every page").answers_as(
                200,
                "The style sheet",
                "text/css; charset=utf-8",
            ),
        )
}

fn oauth(document: Document) -> Document {
    document
        .on(
            HttpMethod::Post,
            "/oauth/token",
            oauth_form(Operation::new(
                "token",
                "A grant for a token, RFC 6749 §3.2",
            ))
            .may(&[Credential::Client])
            .form::<TokenRequest>()
            .answers::<TokenAnswer>(200, "The token"),
        )
        .on(
            HttpMethod::Post,
            "/oauth/introspect",
            oauth_form(Operation::new(
                "introspect",
                "Whether a token is active, RFC 7662",
            ))
            .needs(&[Credential::Client])
            .form::<PresentedToken>()
            .answers::<Introspection>(200, "Whether it is, and what it says"),
        )
        .on(
            HttpMethod::Post,
            "/oauth/revoke",
            oauth_form(Operation::new("revoke", "Gives a token back, RFC 7009"))
                .may(&[Credential::Client])
                .form::<PresentedToken>()
                .answers_empty(200, "It is good for nothing, whatever it was"),
        )
}

fn keys(document: Document) -> Document {
    document
        .get(
            "/keys",
            administrators(Operation::new(
                "signingKeys",
                "The signing keys and their stages",
            ))
            .answers::<SigningKeys>(200, "The keys"),
        )
        .on(
            HttpMethod::Post,
            "/keys/rotate",
            administrators(Operation::new(
                "rotateKey",
                "Announces the next signing key",
            ))
            .answers::<SigningKey>(202, "It signs from the time that is told"),
        )
}

/// What everybody may know.
fn known(document: Document) -> Document {
    document
        .get(
            "/.well-known/jwks.json",
            Operation::new("publicKeys", "The public keys, RFC 7517").answers_in::<KeySet>(
                200,
                "The keys",
                "application/jwk-set+json",
            ),
        )
        .get(
            "/.well-known/oauth-authorization-server",
            Operation::new("metadata", "This authorization server, RFC 8414")
                .answers::<Metadata>(200, "What it offers"),
        )
}

/// What every path that reads JSON may answer.
fn json(operation: Operation) -> Operation {
    operation
        .refuses(
            400,
            "The body is not what this path takes: every fault of it",
        )
        .refuses(413, "The body is too large")
        .refuses(415, "The body is not JSON")
        .refuses(503, "Something needed to answer did not answer")
}

/// What every path for administrators may answer.
fn administrators(operation: Operation) -> Operation {
    operation
        .needs(&CALLER)
        .refuses(401, "There is no credential, or it is not valid")
        .refuses(403, "The caller is no administrator")
        .refuses(503, "Something needed to answer did not answer")
}

/// What every path of OAuth may answer.
fn oauth_form(operation: Operation) -> Operation {
    operation
        .refuses_as::<OAuthRefusal>(400, "RFC 6749 §5.2")
        .refuses_as::<OAuthRefusal>(401, "The client did not authenticate")
        .refuses(413, "The body is too large")
        .refuses(503, "Something needed to answer did not answer")
}

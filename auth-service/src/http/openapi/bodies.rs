//! The bodies as they are on the wire. Handlers read requests member by member, to tell every fault
//! at once, and write answers from what they have; so the form of both is said here.

#![expect(dead_code, reason = "described and never made")]

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, RefOr, Schema, Type,
        schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, OneOfBuilder},
    },
};

/// No credential has fewer characters: those of 43 are refused for tokens and sessions.
const PRINTABLE_ID: &str = "^[ -~]{1,42}$";

/// A new user.
#[derive(ToSchema)]
pub(super) struct Registration {
    /// Compared without regard to case.
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    username: String,
    #[schema(min_length = 8, max_length = 256)]
    password: String,
}

#[derive(ToSchema)]
pub(super) struct Registered {
    /// Stable and meaningless: `sub` of tokens.
    user_id: String,
    username: String,
    roles: Vec<String>,
}

#[derive(ToSchema)]
pub(super) struct Login {
    username: String,
    password: String,
    credential: Wanted,
}

/// What a login is to give.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Wanted {
    Token,
    Session,
}

/// What a login gives, as it was asked for.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum LoggedIn {
    Token(TokenAnswer),
    Session(SessionAnswer),
}

/// A session; browsers get the id as the cookie `__Host-sid` too.
#[derive(ToSchema)]
pub(super) struct SessionAnswer {
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    session_id: String,
    /// Seconds to the absolute limit.
    #[schema(minimum = 0)]
    expires_in: u64,
}

/// RFC 6749 §5.1, RFC 8693 §2.2.1.
#[derive(ToSchema)]
pub(super) struct TokenAnswer {
    /// RFC 9068.
    access_token: String,
    token_type: TokenType,
    /// Seconds.
    #[schema(minimum = 0)]
    expires_in: u64,
    /// Only for a login and its renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    /// Only for an exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    issued_token_type: Option<String>,
}

#[derive(ToSchema)]
enum TokenType {
    Bearer,
}

/// What the login form sends: the parameters of the request once more, a name and a password.
#[derive(ToSchema)]
pub(super) struct AuthorizationForm {
    #[schema(nullable = false)]
    response_type: Option<String>,
    #[schema(nullable = false)]
    client_id: Option<String>,
    #[schema(nullable = false)]
    redirect_uri: Option<String>,
    #[schema(nullable = false)]
    state: Option<String>,
    #[schema(nullable = false)]
    code_challenge: Option<String>,
    #[schema(nullable = false)]
    code_challenge_method: Option<String>,
    #[schema(nullable = false)]
    username: Option<String>,
    #[schema(nullable = false)]
    password: Option<String>,
}

/// Parameters of a grant; which are needed depends on it. A client may send `client_id` and
/// `client_secret` here in place of HTTP Basic, and not beside it.
#[derive(ToSchema)]
pub(super) struct TokenRequest {
    grant_type: Grant,
    /// For `authorization_code`.
    #[schema(nullable = false)]
    code: Option<String>,
    /// For `authorization_code`: as the authorization endpoint was told.
    #[schema(nullable = false)]
    redirect_uri: Option<String>,
    /// For `authorization_code`: 43 to 128 characters of RFC 7636 §4.1.
    #[schema(nullable = false)]
    code_verifier: Option<String>,
    /// For `refresh_token`.
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    /// For the exchange: a session id or an access token.
    #[schema(nullable = false)]
    subject_token: Option<String>,
    /// For the exchange: `urn:ietf:params:oauth:token-type:access_token`.
    #[schema(nullable = false)]
    subject_token_type: Option<String>,
    /// For the exchange.
    #[schema(nullable = false)]
    audience: Option<String>,
    /// Unknown ones are ignored; none may be repeated.
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

#[derive(ToSchema)]
enum Grant {
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    #[serde(rename = "refresh_token")]
    Refresh,
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    Exchange,
}

/// A token that is asked about or given back. A client may send `client_id` and `client_secret` here
/// in place of HTTP Basic, and not beside it.
#[derive(ToSchema)]
pub(super) struct PresentedToken {
    #[schema(min_length = 1)]
    token: String,
    #[schema(nullable = false)]
    token_type_hint: Option<String>,
    /// Unknown ones are ignored; none may be repeated.
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

/// RFC 7662 §2.2; an inactive token has `active` alone.
#[derive(ToSchema)]
pub(super) struct Introspection {
    active: bool,
    #[schema(nullable = false)]
    sub: Option<String>,
    #[schema(nullable = false)]
    username: Option<String>,
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
    /// The login's public id.
    #[schema(nullable = false)]
    sid: Option<String>,
    #[schema(nullable = false)]
    client_id: Option<String>,
    #[schema(nullable = false)]
    token_type: Option<String>,
    #[schema(nullable = false)]
    iat: Option<u64>,
    #[schema(nullable = false)]
    exp: Option<u64>,
    #[schema(nullable = false)]
    iss: Option<String>,
    #[schema(nullable = false)]
    aud: Option<String>,
    #[schema(nullable = false)]
    jti: Option<String>,
}

/// RFC 6749 §5.2.
#[derive(ToSchema)]
pub(super) struct OAuthRefusal {
    error: OAuthCode,
    error_description: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum OAuthCode {
    InvalidRequest,
    InvalidClient,
    UnauthorizedClient,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    UnsupportedGrantType,
}

/// What a logout has ended.
#[derive(ToSchema)]
pub(super) struct Ended {
    ended: WhatEnded,
    /// Only for a token.
    #[schema(nullable = false)]
    revocation: Option<Push>,
    /// Until when a signed token is good where nobody follows revocations.
    #[schema(nullable = false)]
    access_token_valid_until: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum WhatEnded {
    Session,
    Login,
}

/// How far an end has come.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Push {
    Published,
    Pending,
}

#[derive(ToSchema)]
pub(super) struct Logins {
    /// The latest first.
    sessions: Vec<ListedLogin>,
}

/// Times are Unix seconds.
#[derive(ToSchema)]
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

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum LoginKind {
    Token,
    Session,
}

#[derive(ToSchema)]
pub(super) struct EndedLogins {
    ended: EndedKind,
    revocation: Push,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum EndedKind {
    Token,
    Session,
    Others,
    User,
    All,
}

#[derive(ToSchema)]
pub(super) struct Account {
    id: String,
    username: String,
    roles: Vec<String>,
    disabled: bool,
}

/// What changes of a user: at least one of both, which no derived schema says.
pub(super) struct Changes;

impl ToSchema for Changes {}

impl PartialSchema for Changes {
    fn schema() -> RefOr<Schema> {
        let role = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[a-z0-9_-]{1,32}$"));
        let roles = ArrayBuilder::new().items(role).max_items(Some(32)).build();
        let change = |required| {
            ObjectBuilder::new()
                .property("roles", roles.clone())
                .property("disabled", Object::with_type(Type::Boolean))
                .required(required)
        };
        let either = AnyOfBuilder::new()
            .item(change("roles").build())
            .item(change("disabled").build());
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

#[derive(ToSchema)]
pub(super) struct Changed {
    id: String,
    username: String,
    roles: Vec<String>,
    disabled: bool,
    revocation: Push,
}

/// What is to be taken back: one thing by its id, or everything and then nothing beside it, which no
/// derived schema says.
pub(super) struct TakenBack;

impl ToSchema for TakenBack {}

impl PartialSchema for TakenBack {
    fn schema() -> RefOr<Schema> {
        let kinds = |kinds: &[&str]| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(kinds.iter().copied()))
        };
        let id = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("`jti`, `sid`, or the id or the name of a user"))
            .pattern(Some(PRINTABLE_ID));
        let one = ObjectBuilder::new()
            .property("kind", kinds(&["token", "session", "user"]))
            .required("kind")
            .property("id", id)
            .required("id");
        let all = ObjectBuilder::new()
            .property("kind", kinds(&["all"]))
            .required("kind")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        let either = OneOfBuilder::new().item(one.build()).item(all.build());
        RefOr::T(Schema::OneOf(either.build()))
    }
}

/// RFC 7517 §5.
#[derive(ToSchema)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// A public key; more members follow from `kty`.
#[derive(ToSchema)]
struct Key {
    kty: String,
    kid: String,
    alg: String,
}

/// The signing keys, as their administrator sees them.
#[derive(ToSchema)]
pub(super) struct SigningKeys {
    keys: Vec<SigningKey>,
}

#[derive(ToSchema)]
pub(super) struct SigningKey {
    kid: String,
    alg: String,
    /// Announced, signing, or retired and still published.
    stage: String,
    /// Unix seconds.
    created_at: u64,
    /// Unix seconds.
    signs_from: u64,
}

/// RFC 8414 §2.
#[derive(ToSchema)]
pub(super) struct Metadata {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: String,
    authorization_response_iss_parameter_supported: bool,
    code_challenge_methods_supported: Vec<String>,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: Vec<String>,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: Vec<String>,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: Vec<String>,
    grant_types_supported: Vec<String>,
    response_types_supported: Vec<String>,
    response_modes_supported: Vec<String>,
}

//! What the world may know: the key set and the description of this authorization server.

use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::token;
use crate::{http::state::State, scope::Scope};

/// Where the key set is.
pub(crate) const JWKS_PATH: &str = "/.well-known/jwks.json";
/// Where the description is, RFC 8414 §3.
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// Where programs look that speak OpenID Connect (Discovery §4): RFC 8414 §5 has them find it there.
pub(crate) const OPENID_PATH: &str = "/.well-known/openid-configuration";

/// RFC 7517 §8.5.2.
const JWKS: &str = "application/jwk-set+json";

const CACHE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

/// The public keys, RFC 7517.
#[utoipa::path(
    get,
    path = JWKS_PATH,
    operation_id = "publicKeys",
    responses((status = 200, description = "The keys", body = KeySet, content_type = JWKS))
)]
pub(crate) async fn jwks(state: web::Data<State>) -> HttpResponse {
    let keys = state.issuer.keys();
    // A key that is announced now is in every cache before it signs.
    let cache = format!("public, max-age={}", keys.cacheable().as_secs());
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, cache))
        .content_type(JWKS)
        .body(keys.jwks())
}

/// RFC 7517 §5.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described; the keys write their set themselves")]
struct KeySet {
    keys: Vec<Key>,
}

/// A public key; more members follow from `kty`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described; the keys write their set themselves")]
struct Key {
    kty: String,
    kid: String,
    alg: String,
}

/// RFC 8414 §2.
#[derive(Serialize, ToSchema)]
struct Metadata<'a> {
    issuer: &'a str,
    jwks_uri: String,
    authorization_endpoint: String,
    authorization_response_iss_parameter_supported: bool,
    code_challenge_methods_supported: &'a [&'a str],
    token_endpoint: String,
    token_endpoint_auth_methods_supported: &'a [&'a str],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: &'a [&'a str],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: &'a [&'a str],
    grant_types_supported: &'a [&'a str],
    response_types_supported: &'a [&'a str],
    response_modes_supported: &'a [&'a str],
    scopes_supported: &'a [&'a str],
}

/// This authorization server, where OpenID Connect looks for it.
#[utoipa::path(
    get,
    path = OPENID_PATH,
    operation_id = "openidMetadata",
    responses((status = 200, description = "What it offers; no ID tokens", body = Metadata<'static>))
)]
pub(crate) async fn openid(state: web::Data<State>) -> HttpResponse {
    metadata(state).await
}

/// This authorization server, RFC 8414.
#[utoipa::path(
    get,
    path = METADATA_PATH,
    responses((status = 200, description = "What it offers", body = Metadata<'static>))
)]
pub(crate) async fn metadata(state: web::Data<State>) -> HttpResponse {
    let issuer = state.issuer.name();
    let base = issuer.trim_end_matches('/');
    let confidential = &["client_secret_basic", "client_secret_post"];
    let anybody = &["client_secret_basic", "client_secret_post", "none"];
    // What exists here, and nothing that does not.
    HttpResponse::Ok().insert_header(CACHE).json(Metadata {
        issuer,
        jwks_uri: format!("{base}{JWKS_PATH}"),
        authorization_endpoint: format!("{base}/oauth/authorize"),
        // RFC 9207 §3.
        authorization_response_iss_parameter_supported: true,
        code_challenge_methods_supported: &["S256"],
        token_endpoint: format!("{base}/oauth/token"),
        token_endpoint_auth_methods_supported: anybody,
        introspection_endpoint: format!("{base}/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: confidential,
        revocation_endpoint: format!("{base}/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: anybody,
        grant_types_supported: &token::GrantType::ALL.map(token::GrantType::name),
        response_types_supported: &["code"],
        response_modes_supported: &["query"],
        scopes_supported: &Scope::NAMES,
    })
}

//! What the world may know: the key set and the description of this authorization server.

use actix_web::{HttpResponse, http::header, web};
use serde_json::json;

use super::token;
use crate::http::state::State;

/// Where the key set is.
pub(crate) const JWKS_PATH: &str = "/.well-known/jwks.json";
/// Where the description is, RFC 8414 §3.
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

const CACHE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

pub(crate) async fn jwks(state: web::Data<State>) -> HttpResponse {
    let keys = state.issuer.keys();
    // A key that is announced now is in every cache before it signs.
    let cache = format!("public, max-age={}", keys.cacheable().as_secs());
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, cache))
        .content_type("application/jwk-set+json")
        .body(keys.jwks())
}

/// RFC 8414 §2: what exists here, and nothing that does not.
pub(crate) async fn metadata(state: web::Data<State>) -> HttpResponse {
    let issuer = state.issuer.name();
    let base = issuer.trim_end_matches('/');
    let grants = token::GrantType::ALL.map(token::GrantType::name);
    let confidential = ["client_secret_basic", "client_secret_post"];
    let anybody = ["client_secret_basic", "client_secret_post", "none"];
    HttpResponse::Ok().insert_header(CACHE).json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}{JWKS_PATH}"),
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        // RFC 9207 §3.
        "authorization_response_iss_parameter_supported": true,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint": format!("{base}/oauth/token"),
        "token_endpoint_auth_methods_supported": anybody,
        "introspection_endpoint": format!("{base}/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": confidential,
        "revocation_endpoint": format!("{base}/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": anybody,
        "grant_types_supported": grants,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
    }))
}

//! The only list of routes, and what their handlers share.

mod accounts;
mod authorize;
mod body;
mod caller;
mod cookie;
mod ending;
mod form;
mod html;
mod introspect;
mod keys;
mod login;
mod logout;
mod metadata;
mod page;
mod password;
mod presented_token;
mod rate_limit;
mod register;
mod revoke;
mod sessions;
mod signed_in;
mod token;

use actix_web::web::{self, ServiceConfig};
use shared::{
    server::{describe, resource},
    session::SessionStore,
};

pub(crate) use self::page::PAGE_PATH;
use crate::{
    clients::Clients,
    codes::AuthorizationCodes,
    issuer::Issuer,
    limits::{LoginLimits, TrustedProxies},
    metrics::AuthMetrics,
    openapi,
    passwords::Passwords,
    refresh::RefreshTokens,
    revocations::Revocations,
    users::Users,
};

/// What handlers work with; one for each worker thread, because of the session store.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) users: Users,
    pub(crate) revocations: Revocations,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) codes: AuthorizationCodes,
    pub(crate) passwords: Passwords,
    pub(crate) issuer: Issuer,
    pub(crate) clients: Clients,
    pub(crate) sessions: SessionStore,
    pub(crate) metrics: AuthMetrics,
    pub(crate) limits: LoginLimits,
    pub(crate) trusted_proxies: TrustedProxies,
}

/// Adds the routes of the auth-service.
pub(crate) fn configure(routes: &mut ServiceConfig, state: State) {
    describe(routes, openapi::document().to_json());
    routes
        .app_data(web::Data::new(state))
        .app_data(form::form_config())
        .service(resource("/register", "POST").route(web::post().to(register::register)))
        .service(resource("/login", "POST").route(web::post().to(login::login)))
        .service(resource("/logout", "POST").route(web::post().to(logout::logout)))
        .service(
            resource("/oauth/authorize", "GET, POST")
                .app_data(authorize::form_config())
                .route(web::get().to(authorize::show))
                .route(web::post().to(authorize::submit)),
        )
        .service(resource("/oauth/token", "POST").route(web::post().to(token::token)))
        .service(
            resource("/oauth/introspect", "POST").route(web::post().to(introspect::introspect)),
        )
        .service(resource("/oauth/revoke", "POST").route(web::post().to(revoke::revoke)))
        .service(
            resource("/sessions", "GET, DELETE")
                .route(web::get().to(sessions::list))
                .route(web::delete().to(sessions::end_others)),
        )
        .service(resource("/sessions/{id}", "DELETE").route(web::delete().to(sessions::end)))
        .service(
            resource("/users/{username}", "GET, PATCH")
                .route(web::get().to(accounts::show))
                .route(web::patch().to(accounts::change)),
        )
        .service(resource("/revocations", "POST").route(web::post().to(accounts::revoke)))
        .service(resource("/keys", "GET").route(web::get().to(keys::list)))
        .service(resource("/keys/rotate", "POST").route(web::post().to(keys::rotate)))
        .service(resource(PAGE_PATH, "GET").route(web::get().to(page::page)))
        .service(resource(page::SCRIPT_PATH, "GET").route(web::get().to(page::script)))
        .service(resource(html::STYLE_PATH, "GET").route(web::get().to(page::style)))
        .service(resource(metadata::JWKS_PATH, "GET").route(web::get().to(metadata::jwks)))
        .service(resource(metadata::METADATA_PATH, "GET").route(web::get().to(metadata::metadata)));
}

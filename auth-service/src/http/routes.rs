//! The only list of routes.

use actix_web::{
    Route,
    web::{self, ServiceConfig},
};
use shared::server::{describe, resource};
use url::Url;

use super::{admin, html, login, oauth, openapi, page, state::State};
use crate::clients::PAGE_PATH;

/// Adds the routes of the auth-service.
pub(crate) fn configure(routes: &mut ServiceConfig, state: State) {
    describe(routes, openapi::document());
    let issuer = issuer_path(state.issuer.name());
    routes
        .app_data(web::Data::new(state))
        .app_data(oauth::form::form_config())
        .service(resource("/register", "POST").route(web::post().to(login::register::register)))
        .service(resource("/login", "POST").route(web::post().to(login::login)))
        .service(resource("/logout", "POST").route(web::post().to(login::logout::logout)))
        .service(
            resource("/oauth/authorize", "GET, POST")
                .app_data(oauth::authorize::form_config())
                .route(web::get().to(oauth::authorize::show))
                .route(web::post().to(oauth::authorize::submit)),
        )
        .service(resource("/oauth/token", "POST").route(web::post().to(oauth::token::token)))
        .service(
            resource("/oauth/introspect", "POST")
                .route(web::post().to(oauth::introspect::introspect)),
        )
        .service(resource("/oauth/revoke", "POST").route(web::post().to(oauth::revoke::revoke)))
        .service(
            resource("/sessions", "GET, DELETE")
                .route(web::get().to(login::sessions::list))
                .route(web::delete().to(login::sessions::end_others)),
        )
        .service(resource("/sessions/{id}", "DELETE").route(web::delete().to(login::sessions::end)))
        .service(resource("/users", "GET").route(web::get().to(admin::users::look_up)))
        .service(
            resource("/users/by-id/{id}", "GET, PATCH")
                .route(web::get().to(admin::users::show_by_id))
                .route(web::patch().to(admin::users::change_by_id)),
        )
        .service(
            resource("/users/{username}", "GET, PATCH")
                .route(web::get().to(admin::users::show))
                .route(web::patch().to(admin::users::change)),
        )
        .service(resource("/revocations", "POST").route(web::post().to(admin::revocations::revoke)))
        .service(resource("/keys", "GET").route(web::get().to(admin::keys::list)))
        .service(resource("/keys/rotate", "POST").route(web::post().to(admin::keys::rotate)))
        .service(resource(PAGE_PATH, "GET").route(web::get().to(page::page)))
        .service(resource(page::SCRIPT_PATH, "GET").route(web::get().to(page::script)))
        .service(resource(html::STYLE_PATH, "GET").route(web::get().to(page::style)))
        .service(
            resource(oauth::metadata::JWKS_PATH, "GET").route(web::get().to(oauth::metadata::jwks)),
        );
    let (rfc, openid) = (oauth::metadata::METADATA_PATH, oauth::metadata::OPENID_PATH);
    describe_at(routes, rfc, &issuer, || {
        web::get().to(oauth::metadata::metadata)
    });
    describe_at(routes, openid, &issuer, || {
        web::get().to(oauth::metadata::openid)
    });
}

/// Serves the metadata at a well-known place and, for an issuer with a path, with the path behind it:
/// RFC 8414 §3.1 inserts what OpenID Connect Discovery §4 appends.
fn describe_at(routes: &mut ServiceConfig, place: &str, issuer: &str, get: impl Fn() -> Route) {
    for path in [place.to_owned(), format!("{place}{issuer}")] {
        routes.service(resource(&path, "GET").route(get()));
    }
}

fn issuer_path(issuer: &str) -> String {
    let url = Url::parse(issuer);
    url.map_or_else(
        |_| String::new(),
        |url| url.path().trim_end_matches('/').to_owned(),
    )
}

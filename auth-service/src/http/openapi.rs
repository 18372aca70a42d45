//! What this service takes and answers, as OpenAPI.

use shared::openapi::{self, Credential};
use utoipa::OpenApi;

use super::{
    admin,
    ending::EndedLogins,
    error::OAuthRefusal,
    login::{self, logout, register, sessions},
    oauth::{authorize, introspect, metadata, revoke, token},
    page,
};

/// The operations; each is described at its handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Statewise auth-service",
        description = "Users, logins, access tokens, sessions and the key set. Behind the gateway its paths begin \
                       with /auth."
    ),
    paths(
        register::register,
        login::login,
        logout::logout,
        authorize::show,
        authorize::submit,
        page::page,
        page::script,
        page::style,
        token::token,
        introspect::introspect,
        revoke::revoke,
        sessions::list,
        sessions::end_others,
        sessions::end,
        admin::users::look_up,
        admin::users::show,
        admin::users::show_by_id,
        admin::users::change,
        admin::users::change_by_id,
        admin::revocations::revoke,
        admin::keys::list,
        admin::keys::rotate,
        metadata::jwks,
        metadata::metadata,
        metadata::openid,
    ),
    components(schemas(EndedLogins, OAuthRefusal))
)]
struct Api;

/// The description of the service.
pub(super) fn document() -> String {
    openapi::write::<Api>(&[
        Credential::Bearer,
        Credential::SessionCookie,
        Credential::Client,
    ])
}

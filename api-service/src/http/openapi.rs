//! What this service takes and answers, as OpenAPI.

use shared::openapi::{self, Credential};
use utoipa::OpenApi;

use super::{cart, me, public};

/// The operations; each is described at its handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Statewise api-service",
        description = "A small API that knows its callers by the configured strategy. Which kind of bearer it takes, \
                       and whether the cookie counts, follows from the strategy. Every path that takes GET takes \
                       HEAD as well."
    ),
    paths(public::public, me::me, me::admin, cart::read, cart::write)
)]
struct Api;

/// The description of the service.
pub(crate) fn document() -> String {
    openapi::write::<Api>(&[Credential::Bearer, Credential::SessionCookie])
}

//! `GET /public`: no credential is looked at.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::State;

pub(super) const PUBLIC: &str = "/public";

/// What anybody may read.
#[derive(Serialize, ToSchema)]
struct Greeting<'a> {
    message: &'static str,
    strategy: &'static str,
    replica: &'a str,
}

/// What anybody may read.
#[utoipa::path(
    get,
    path = PUBLIC,
    responses((status = 200, description = "No credential was looked at", body = Greeting<'static>))
)]
pub(super) async fn public(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(Greeting {
        message: "anybody may read this",
        strategy: state.gate.about.name,
        replica: &state.replica,
    })
}

//! `GET /me` and `GET /admin`: who the caller is, and who answers.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;
use shared::problem::Problem;
use utoipa::ToSchema;

use super::{authenticated::Authenticated, error::refused, holdings::Holdings, state::State};
use crate::auth::{Principal, Request};

pub(super) const ME: &str = "/me";
pub(super) const ADMIN: &str = "/admin";

/// Who is calling, and who answers.
#[derive(Serialize, ToSchema)]
struct Description<'a> {
    #[serde(flatten)]
    principal: &'a Principal,
    /// How the caller is known.
    strategy: &'static str,
    /// Name of the replica that answers.
    replica: &'a str,
    known: Holdings,
}

/// Who is calling, and who answers.
#[utoipa::path(
    get,
    path = ME,
    security(("bearer" = []), ("session" = [])),
    responses(
        Authenticated,
        (status = 200, description = "The caller is known", body = Description<'static>),
    )
)]
pub(super) async fn me(
    request: HttpRequest,
    state: web::Data<State>,
    Authenticated(principal): Authenticated,
) -> HttpResponse {
    describe(&request, &state, &principal)
}

/// The same, for administrators.
#[utoipa::path(
    get,
    path = ADMIN,
    security(("bearer" = []), ("session" = [])),
    responses(
        Authenticated,
        (status = 200, description = "The caller is an administrator", body = Description<'static>),
        (status = 403, description = "The role admin is required"),
    )
)]
pub(super) async fn admin(
    request: HttpRequest,
    state: web::Data<State>,
    Authenticated(principal): Authenticated,
) -> Result<HttpResponse, Problem> {
    principal
        .require("admin")
        .map_err(|refusal| refused(refusal, state.gate.about.challenge))?;
    Ok(describe(&request, &state, &principal))
}

fn describe(request: &HttpRequest, state: &State, principal: &Principal) -> HttpResponse {
    let about = state.gate.about;
    let request = Request::from(request);
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Description {
            principal,
            strategy: about.name,
            replica: &state.replica,
            known: Holdings::of(request, about.kind, state.carts.on_server()),
        })
}

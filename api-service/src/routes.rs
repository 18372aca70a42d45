//! The list of routes, and their handlers, which are small.

use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;
use shared::{problem::Problem, server::resource};

use crate::extract::{Authenticated, Gate, Principal};

const READ_ONLY: &str = "GET, HEAD";

/// Adds the service's routes.
pub(crate) fn configure(routes: &mut web::ServiceConfig, gate: web::Data<Gate>) {
    routes
        .app_data(gate)
        .service(
            resource("/public", READ_ONLY)
                .route(web::get().to(public))
                .route(web::head().to(public)),
        )
        .service(
            resource("/me", READ_ONLY)
                .route(web::get().to(me))
                .route(web::head().to(me)),
        )
        .service(
            resource("/admin", READ_ONLY)
                .route(web::get().to(admin))
                .route(web::head().to(admin)),
        );
}

#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    principal: &'a Principal,
    strategy: &'static str,
    replica: &'a str,
}

/// `GET /public`: no credential is looked at.
async fn public(gate: web::Data<Gate>) -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({
        "message": "anybody may read this",
        "strategy": gate.verifier.name(),
        "replica": gate.replica,
    }))
}

/// `GET /me`: who the caller is, and who answers.
async fn me(gate: web::Data<Gate>, Authenticated(principal): Authenticated) -> HttpResponse {
    describe(&gate, &principal)
}

/// `GET /admin`: the same, for administrators.
async fn admin(
    gate: web::Data<Gate>,
    Authenticated(principal): Authenticated,
) -> Result<HttpResponse, Problem> {
    principal.require("admin")?;
    Ok(describe(&gate, &principal))
}

fn describe(gate: &Gate, principal: &Principal) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Known {
            principal,
            strategy: gate.verifier.name(),
            replica: &gate.replica,
        })
}

//! The list of routes, and their handlers, which are small.

use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;
use shared::{problem::Problem, server::resource};

use crate::extract::{Authenticated, Gate, Gates, Principal};

const READ_ONLY: &str = "GET, HEAD";
const PUBLIC: &str = "/public";
const ME: &str = "/me";
const ADMIN: &str = "/admin";

/// The routes that need a credential, and so can have a strategy of their own.
pub(crate) const PROTECTED: [&str; 2] = [ME, ADMIN];

/// Adds the service's routes, each with the gate of its strategy.
pub(crate) fn configure(routes: &mut web::ServiceConfig, gates: &Gates) {
    let at = |path: &'static str, allow| resource(path, allow).app_data(gates.of(path));
    routes
        .service(
            at(PUBLIC, READ_ONLY)
                .route(web::get().to(public))
                .route(web::head().to(public)),
        )
        .service(
            at(ME, READ_ONLY)
                .route(web::get().to(me))
                .route(web::head().to(me)),
        )
        .service(
            at(ADMIN, READ_ONLY)
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
        "strategy": gate.strategy.name(),
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
            strategy: gate.strategy.name(),
            replica: &gate.replica,
        })
}

//! The list of routes, and their handlers, which are small.

pub(crate) mod cart;

use actix_web::{HttpRequest, HttpResponse, http::header, middleware::from_fn, web};
use serde::Serialize;
use shared::{
    problem::Problem,
    server::{describe as serve_document, resource},
};
use utoipa::ToSchema;

use crate::{
    extract::{Authenticated, Gate, Gates, Principal},
    known::Known,
    openapi, servlet,
};

const READ_ONLY: &str = "GET, HEAD";
pub(crate) const PUBLIC: &str = "/public";
pub(crate) const ME: &str = "/me";
pub(crate) const ADMIN: &str = "/admin";
/// Where the cart is.
pub(crate) const CART: &str = "/cart";

/// The routes that need a credential, and so can have a strategy of their own.
pub(crate) const PROTECTED: [&str; 3] = [ME, ADMIN, CART];

/// Adds the service's routes, each with the gate of its strategy; with a cookie that means nothing
/// in their answers when that is asked for.
pub(crate) fn configure(routes: &mut web::ServiceConfig, gates: &Gates, meaningless_cookie: bool) {
    if meaningless_cookie {
        let all = web::scope("").wrap(from_fn(servlet::hand_out));
        routes.service(all.configure(|routes| list(routes, gates)));
    } else {
        list(routes, gates);
    }
}

fn list(routes: &mut web::ServiceConfig, gates: &Gates) {
    serve_document(routes, openapi::document());
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
        )
        .service(
            at(CART, "GET, HEAD, PUT")
                .route(web::get().to(cart::read))
                .route(web::head().to(cart::read))
                .route(web::put().to(cart::write)),
        );
}

/// Who is calling, and who answers.
#[derive(Serialize, ToSchema)]
struct Description<'a> {
    #[serde(flatten)]
    principal: &'a Principal,
    /// How the caller is known.
    strategy: &'static str,
    /// Name of the replica that answers.
    replica: &'a str,
    known: Known,
}

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
async fn public(gate: web::Data<Gate>) -> HttpResponse {
    HttpResponse::Ok().json(Greeting {
        message: "anybody may read this",
        strategy: gate.strategy.name(),
        replica: &gate.replica,
    })
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
async fn me(
    request: HttpRequest,
    gate: web::Data<Gate>,
    Authenticated(principal): Authenticated,
) -> HttpResponse {
    describe(&request, &gate, &principal)
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
async fn admin(
    request: HttpRequest,
    gate: web::Data<Gate>,
    Authenticated(principal): Authenticated,
) -> Result<HttpResponse, Problem> {
    principal.require("admin")?;
    Ok(describe(&request, &gate, &principal))
}

fn describe(request: &HttpRequest, gate: &Gate, principal: &Principal) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Description {
            principal,
            strategy: gate.strategy.name(),
            replica: &gate.replica,
            known: Known::of(request, gate.strategy.name(), &gate.keeper),
        })
}

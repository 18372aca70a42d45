//! The list of routes.

use std::rc::Rc;

use actix_web::{middleware::from_fn, web};
use shared::server::{describe, resource};

use super::{
    cart, me, openapi, public, servlet,
    state::{LoginSettings, State},
};
use crate::{auth::Gates, cart::Carts};

/// The routes that need a credential, and so can have a strategy of their own.
pub(crate) const PROTECTED: [&str; 3] = [me::ME, me::ADMIN, cart::CART];

/// The routes of one worker thread.
pub(crate) struct Routes {
    /// Who decides about which route.
    pub(crate) gates: Rc<Gates>,
    /// Name of this replica.
    pub(crate) replica: String,
    /// Data of a login.
    pub(crate) login: LoginSettings,
}

impl Routes {
    /// Adds the routes; with a cookie that means nothing in their answers when that is asked for.
    pub(crate) fn configure(&self, routes: &mut web::ServiceConfig) {
        if self.login.meaningless_cookie {
            let all = web::scope("").wrap(from_fn(servlet::hand_out));
            routes.service(all.configure(|routes| self.list(routes)));
        } else {
            self.list(routes);
        }
    }

    fn list(&self, routes: &mut web::ServiceConfig) {
        let sessions = self.gates.of(cart::CART);
        let sessions = sessions.verifier.sessions();
        let carts = Rc::new(Carts::of(sessions, self.login.state_keys.as_ref()));
        let at = |path: &'static str, allow| {
            resource(path, allow).app_data(web::Data::new(State {
                gate: self.gates.of(path),
                carts: Rc::clone(&carts),
                replica: self.replica.clone(),
                state_ttl: self.login.state_ttl,
            }))
        };
        let reads = |path: &'static str| at(path, "GET, HEAD");
        describe(routes, openapi::document());
        routes
            .service(
                reads(public::PUBLIC)
                    .route(web::get().to(public::public))
                    .route(web::head().to(public::public)),
            )
            .service(
                reads(me::ME)
                    .route(web::get().to(me::me))
                    .route(web::head().to(me::me)),
            )
            .service(
                reads(me::ADMIN)
                    .route(web::get().to(me::admin))
                    .route(web::head().to(me::admin)),
            )
            .service(
                at(cart::CART, "GET, HEAD, PUT")
                    .route(web::get().to(cart::read))
                    .route(web::head().to(cart::read))
                    .route(web::put().to(cart::write)),
            );
    }
}

//! What is known about a caller, and by whom: the difference between the strategies, in an answer.

use actix_web::HttpRequest;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{carried, credential, keep::Keeper};

/// Who knows what. Names only: the values are beside it in the answer, or secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct Known {
    by_server: ByServer,
    carried_by_client: CarriedByClient,
}

#[derive(Serialize, ToSchema)]
struct ByServer {
    /// What the server looked up, and would find without the client's saying.
    holds: &'static [&'static str],
}

#[derive(Serialize, ToSchema)]
struct CarriedByClient {
    /// What this service reads from what the client sends.
    holds: &'static [&'static str],
    /// How much that was in this request.
    bytes: usize,
}

impl Known {
    pub(crate) fn of(request: &HttpRequest, strategy: &str, keeper: &Keeper) -> Self {
        let looked_up = matches!(strategy, "session" | "session-cached" | "introspection");
        let cart_by_server = matches!(keeper, Keeper::Session(_));
        Self {
            by_server: ByServer {
                holds: match (looked_up, cart_by_server) {
                    (true, true) => &["subject", "username", "roles", "cart"],
                    (true, false) => &["subject", "username", "roles"],
                    (false, true) => &["cart"],
                    (false, false) => &[],
                },
            },
            carried_by_client: CarriedByClient {
                holds: match (looked_up, cart_by_server) {
                    (true, true) => &["session_id"],
                    (true, false) => &["session_id", "cart"],
                    (false, true) => &["subject", "username", "roles", "expiry"],
                    (false, false) => &["subject", "username", "roles", "expiry", "cart"],
                },
                bytes: credential_bytes(request) + state_bytes(request),
            },
        }
    }
}

fn credential_bytes(request: &HttpRequest) -> usize {
    let bearer = credential::bearer(request).ok().flatten();
    let cookie = || credential::cookie(request, credential::SESSION_COOKIE).ok();
    bearer.or_else(|| cookie().flatten()).map_or(0, str::len)
}

fn state_bytes(request: &HttpRequest) -> usize {
    let state = carried::find(request).ok().flatten();
    state.map_or(0, |state| state.text.len())
}

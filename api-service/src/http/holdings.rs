//! What the server holds about a caller and what the client carries: the difference between the
//! strategies, in an answer.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::{Kind, Request},
    cart::Carried,
};

/// Who knows what. Names only: the values are beside it in the answer, or secret.
#[derive(Serialize, ToSchema)]
pub(super) struct Holdings {
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

impl Holdings {
    /// With a credential of this kind, and the cart on the server or with the client.
    pub(super) fn of(request: Request<'_>, kind: Kind, cart_on_server: bool) -> Self {
        let (by_server, by_client): (&[_], &[_]) = match (kind, cart_on_server) {
            (Kind::Id, true) => (&["subject", "username", "roles", "cart"], &["session_id"]),
            (Kind::Id, false) => (&["subject", "username", "roles"], &["session_id", "cart"]),
            (Kind::Token, true) => (&["cart"], &["subject", "username", "roles", "expiry"]),
            (Kind::Token, false) => (&[], &["subject", "username", "roles", "expiry", "cart"]),
        };
        let state = Carried::find(request).ok().flatten();
        let state_bytes = state.map_or(0, |state| state.text.len());
        Self {
            by_server: ByServer { holds: by_server },
            carried_by_client: CarriedByClient {
                holds: by_client,
                bytes: request.credential().map_or(0, str::len) + state_bytes,
            },
        }
    }
}

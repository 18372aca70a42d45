//! What the handlers of a route have on a worker thread.

use std::{rc::Rc, time::Duration};

use crate::{
    auth::Gate,
    cart::{Carts, StateKeys},
};

/// What belongs to a login and is carried by the client.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Seals what the client carries.
    pub state_keys: Option<StateKeys>,
    /// How long a browser keeps it.
    pub state_ttl: Duration,
    /// Whether a cookie that means nothing is handed out.
    pub meaningless_cookie: bool,
}

/// What the handlers of a route have. Each route has the gate of its strategy in its own data, which
/// no spelling of a path can get around.
pub(super) struct State {
    /// Decides who is calling.
    pub(super) gate: Rc<Gate>,
    /// The carts of all logins.
    pub(super) carts: Rc<Carts>,
    /// Name of this replica.
    pub(super) replica: String,
    /// How long a browser keeps what it carries.
    pub(super) state_ttl: Duration,
}

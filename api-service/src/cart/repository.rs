//! The repository of carts: in the session of the login for strategies that have its store,
//! otherwise with the client, sealed.
//!
//! Either way a replica keeps nothing, so the next request may go to any other.

use shared::{
    credential::Ambiguous,
    session::{CartWrite, KeptCart, SessionId, SessionStore, StoreError},
    telemetry::trace::TraceHandle,
};

use super::{
    carried::Carried,
    document::{Cart, Versioned},
    state::{Binding, OpenError, SealError, StateKeys},
};
use crate::auth::{Principal, Request};

const PURPOSE: &str = "cart";

/// Why a cart was not read or not written. It says nothing about the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CartError {
    /// The body is no cart: every fault.
    Faulty(Vec<String>),
    /// The credential belongs to no login, so there is nothing that could be the login's.
    NoLogin,
    /// No keys to seal and open states with are configured.
    NoKeys,
    /// The request carries two states that differ.
    Ambiguous,
    /// The state is not one of this login. `forget`: it never will be, so the cookie may go.
    InvalidState {
        /// Whether no key can ever open it.
        forget: bool,
    },
    /// The sealed state would be of so many bytes.
    TooLong(usize),
    /// The cart is at another version than the write was made from: at this one.
    Changed(u64),
    /// The session ended after its credential was checked.
    Ended,
    /// The store gave no answer; the detail goes to the log only.
    Undecidable(String),
    /// A fault of ours.
    Failed,
}

/// A cart, and the sealed state that the client is to carry from now on.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) cart: Versioned,
    /// `None`: nothing new to carry.
    pub(crate) state: Option<String>,
}

/// One worker thread's way to the carts.
pub(crate) enum Carts {
    /// In the session, in Redis, over this thread's connection.
    Session(SessionStore),
    /// With the client, sealed with these keys; without keys there are no carts.
    Client(Option<StateKeys>),
}

/// Whose cart, in which request.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) principal: &'a Principal,
    pub(crate) trace: Option<&'a TraceHandle>,
}

impl Carts {
    /// With the sessions of a strategy that has their store, otherwise with the client.
    pub(crate) fn of(sessions: Option<&SessionStore>, keys: Option<&StateKeys>) -> Self {
        match sessions {
            Some(store) => Self::Session(store.clone()),
            None => Self::Client(keys.cloned()),
        }
    }

    /// Whether the server has the cart, and not the client.
    pub(crate) fn on_server(&self) -> bool {
        matches!(self, Self::Session(_))
    }

    /// The cart as it is now.
    pub(crate) async fn read(&self, owner: Owner<'_>) -> Result<Held, CartError> {
        match self {
            Self::Session(store) => read_session(store, owner).await,
            Self::Client(keys) => read_client(keys.as_ref(), owner),
        }
    }

    /// Replaces the cart if it is at one of these versions.
    pub(crate) async fn write(
        &self,
        owner: Owner<'_>,
        versions: &[u64],
        cart: Cart,
    ) -> Result<Held, CartError> {
        match self {
            Self::Session(store) => write_session(store, owner, versions, cart).await,
            Self::Client(keys) => write_client(keys.as_ref(), owner, versions, cart),
        }
    }
}

async fn read_session(store: &SessionStore, owner: Owner<'_>) -> Result<Held, CartError> {
    let kept = store
        .read_cart(&session(owner.request)?, owner.trace)
        .await?
        .ok_or(CartError::Ended)?;
    Ok(Held {
        cart: versioned(kept)?,
        state: None,
    })
}

async fn write_session(
    store: &SessionStore,
    owner: Owner<'_>,
    versions: &[u64],
    cart: Cart,
) -> Result<Held, CartError> {
    let made_from = match versions {
        [one] => *one,
        // The script compares with one; whether it is still that one, it will see.
        many => matching(read_session(store, owner).await?.cart.version, many)?,
    };
    let json = serde_json::to_string(&cart).map_err(|_| CartError::Failed)?;
    let id = session(owner.request)?;
    let written = store.write_cart(&id, made_from, &json, owner.trace);
    match written.await? {
        CartWrite::Written(version) => Ok(Held {
            cart: Versioned { version, cart },
            state: None,
        }),
        CartWrite::Changed(version) => Err(CartError::Changed(version)),
        CartWrite::Ended => Err(CartError::Ended),
    }
}

fn read_client(keys: Option<&StateKeys>, owner: Owner<'_>) -> Result<Held, CartError> {
    let (keys, binding) = sealing(keys, owner)?;
    let Some(Carried { text, by_cookie }) = Carried::find(owner.request)? else {
        return Ok(Held {
            cart: Versioned::default(),
            state: None,
        });
    };
    let plain = keys.open(text, binding).map_err(|error| match error {
        // Another replica may have the key already, or still.
        OpenError::UnknownKey => CartError::InvalidState { forget: false },
        OpenError::Never => CartError::InvalidState { forget: by_cookie },
    })?;
    // Only we can have sealed it, so another form is from another version of us.
    let cart =
        serde_json::from_slice(&plain).map_err(|_| CartError::InvalidState { forget: false })?;
    // Whoever only reads gets the newest key too, before the old one is removed.
    let state = if keys.seals_with_key_of(text) {
        None
    } else {
        // A longer name of a key may make it too long; then it stays as it is.
        keys.seal(&plain, binding).ok()
    };
    Ok(Held { cart, state })
}

fn write_client(
    keys: Option<&StateKeys>,
    owner: Owner<'_>,
    versions: &[u64],
    cart: Cart,
) -> Result<Held, CartError> {
    let made_from = matching(read_client(keys, owner)?.cart.version, versions)?;
    let (keys, binding) = sealing(keys, owner)?;
    let cart = Versioned {
        version: made_from.saturating_add(1),
        cart,
    };
    let plain = serde_json::to_vec(&cart).map_err(|_| CartError::Failed)?;
    Ok(Held {
        state: Some(keys.seal(&plain, binding)?),
        cart,
    })
}

fn sealing<'a>(
    keys: Option<&'a StateKeys>,
    owner: Owner<'a>,
) -> Result<(&'a StateKeys, Binding<'a>), CartError> {
    let keys = keys.ok_or(CartError::NoKeys)?;
    let login = owner.principal.sid.as_deref();
    let binding = Binding {
        purpose: PURPOSE,
        issuer: owner.principal.issuer.as_deref(),
        subject: &owner.principal.subject,
        login: login.ok_or(CartError::NoLogin)?,
    };
    Ok((keys, binding))
}

fn matching(current: u64, versions: &[u64]) -> Result<u64, CartError> {
    if versions.contains(&current) {
        Ok(current)
    } else {
        Err(CartError::Changed(current))
    }
}

/// The id that the strategy has checked already.
fn session(request: Request<'_>) -> Result<SessionId, CartError> {
    request.session().map_err(|_| CartError::Failed)
}

fn versioned(kept: KeptCart) -> Result<Versioned, CartError> {
    let cart = match kept.json {
        None => Cart::default(),
        Some(json) => serde_json::from_str(&json)
            .map_err(|_| CartError::Undecidable("a cart of an unknown form".to_owned()))?,
    };
    Ok(Versioned {
        version: kept.version,
        cart,
    })
}

impl From<Ambiguous> for CartError {
    fn from(_: Ambiguous) -> Self {
        Self::Ambiguous
    }
}

impl From<StoreError> for CartError {
    fn from(error: StoreError) -> Self {
        Self::Undecidable(error.to_string())
    }
}

impl From<SealError> for CartError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::TooLong(bytes) => Self::TooLong(bytes),
            SealError::Failed => Self::Failed,
        }
    }
}

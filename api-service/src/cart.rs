//! The cart: data that belongs to a login, and where it is.
//!
//! | module | holds |
//! | --- | --- |
//! | [`document`] | a cart, and the rules for one |
//! | [`state`] | data of a login, sealed so that the client can carry it |
//! | [`carried`] | the sealed state in a request |
//! | [`repository`] | reads and writes the cart of a login, wherever it is |

mod carried;
mod document;
mod repository;
mod state;

pub use self::state::StateKeys;
pub(crate) use self::{
    carried::{COOKIE, Carried, HEADER},
    document::{CART_LIMIT_BYTES, Cart},
    repository::{CartError, Carts, Held, Owner},
    state::SEALED_LIMIT_BYTES,
};

//! HTTP: the routes, their handlers, and what their failures look like.
//!
//! | module | holds |
//! | --- | --- |
//! | [`routes`] | the only list of routes |
//! | [`call`], [`state`], [`error`], [`answer`] | a request and what its handler works with; the one mapping from errors to answers; answers of JSON |
//! | [`body`], [`ending`], [`cookie`], [`rate_limit`] | what several handlers read and write |
//! | [`oauth`] | the endpoints of OAuth 2.0 |
//! | [`login`] | what a user does for themselves: register, log in and out, end logins |
//! | [`admin`] | what an administrator does: users, revocations, signing keys |
//! | [`password`], [`signed_in`] | who calls: by name and password, by a credential of an earlier login |
//! | [`page`], [`html`] | pages for people |
//! | [`openapi`] | the description of all of it |

mod admin;
mod answer;
mod body;
mod call;
mod client_address;
mod cookie;
mod ending;
mod error;
mod html;
mod login;
mod oauth;
mod openapi;
mod page;
mod password;
mod rate_limit;
mod routes;
mod signed_in;
mod state;

pub use self::client_address::TrustedProxies;
pub(crate) use self::{routes::configure, state::State};

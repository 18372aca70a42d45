//! HTTP: the routes and their handlers, and how verdicts and faults become answers.
//!
//! A handler is a file: its path, what it takes and answers ([`openapi`] lists it), and the
//! function. [`routes`] lists them. A handler gets a caller only from
//! [`authenticated::Authenticated`], and [`error`] is the only way from a refusal to an answer.

mod authenticated;
mod cart;
mod error;
mod holdings;
mod me;
mod openapi;
mod public;
mod routes;
mod servlet;
mod state;
mod state_cookie;

pub(crate) use self::routes::{PROTECTED, Routes};
pub use self::state::LoginSettings;

//! The HTTP client with which a system is asked and users are logged in.

use std::time::Duration;

use reqwest::blocking::Client;

/// A client that goes the way that the load goes: straight to the server, whatever `HTTP_PROXY` says.
///
/// # Errors
///
/// The system's certificates or random numbers cannot be had.
pub fn client(patience: Duration) -> reqwest::Result<Client> {
    Client::builder().timeout(patience).no_proxy().build()
}

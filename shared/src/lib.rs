//! What two Statewise services must agree on, or every service must do the same way.
//!
//! | module | holds |
//! | --- | --- |
//! | [`background`] | tasks beside the requests, which are begun again when they fail |
//! | [`clock`] | the time, handed in: the system's or one that a test moves |
//! | [`config`] | reading the environment: every fault at once, secrets that cannot be printed |
//! | [`credential`] | the bearer and the session cookie in the headers of a request |
//! | [`cross_site`] | whether another site had a browser send a request |
//! | [`forwarded`] | whom the proxies in front name as the client |
//! | [`healthcheck`] | `BINARY healthcheck URL`, for images without a shell |
//! | [`listen`] | opening a port for many clients who come at once |
//! | [`network`] | what counts as one client where something is limited for each address |
//! | [`openapi`] | the description of a service's interface: what all have alike |
//! | [`problem`] | the one error body, RFC 9457 |
//! | [`resources`] | what the machine lets this process have: memory, open files |
//! | [`shutdown`] | how a process ends: signals, and the deadlines of a drain |
//! | [`telemetry`] | logs, traces and metrics |
//! | [`server`] | feature `web`: start, health, drain of an actix-web service |
//! | [`revocation`] | feature `session`: what was revoked, and the feed that publishes it to every replica |
//! | [`token`] | feature `token`: access tokens, and the one place that verifies them |
//! | [`sealed`] | feature `sealed`: bytes that only the holder of a key can read or change |
//! | [`session`] | feature `session`: the session id, its record and the store in Redis |
//!
//! A thing moves in here when two services must agree on it or every service must do it alike;
//! what one service needs lives with that service. Modules import each other downwards only.

pub mod background;
pub mod clock;
pub mod config;
pub mod credential;
pub mod cross_site;
pub mod forwarded;
pub mod healthcheck;
pub mod listen;
pub mod network;
pub mod openapi;
pub mod problem;
pub mod resources;
#[cfg(feature = "session")]
pub mod revocation;
#[cfg(feature = "sealed")]
pub mod sealed;
#[cfg(feature = "web")]
pub mod server;
#[cfg(feature = "session")]
pub mod session;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "token")]
pub mod token;

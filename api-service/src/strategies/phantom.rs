//! `phantom`: tokens of a few seconds, which the gateway gets for the opaque id of the caller,
//! verified as `jwt` does it.
//!
//! An id that arrives unexchanged is no token, and so no credential. Nothing follows revocations
//! here: a token that outlives its session does so for no longer than it lives.

use shared::config::Faults;

use super::{
    ClientError, Open, Strategy,
    sources::Process,
    tokens::{TokenArguments, TokenSettings},
};
use crate::auth::{About, BEARER, Kind};

/// The strategy `phantom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phantom(pub TokenSettings);

impl Strategy for Phantom {
    const ABOUT: &'static About = &About {
        name: "phantom",
        summary: "tokens that the gateway gets for opaque ids, verified here",
        kind: Kind::Token,
        challenge: BEARER,
        needs: None,
    };

    type Arguments = TokenArguments;

    fn check(arguments: &TokenArguments, faults: &mut Faults) -> Option<Self> {
        arguments.check(faults).map(Self)
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        self.0.start(process)
    }
}

//! `jwt`: a signed access token, verified in the process. Nothing follows revocations here.

use shared::config::Faults;

use super::{
    ClientError, Open, Strategy,
    sources::Process,
    tokens::{TokenArguments, TokenSettings},
};
use crate::auth::{About, BEARER, Kind};

/// The strategy `jwt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt(pub TokenSettings);

impl Strategy for Jwt {
    const ABOUT: &'static About = &About {
        name: "jwt",
        summary: "signed access tokens, verified here",
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

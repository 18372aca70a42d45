//! `jwt`: a signed access token, verified in the process. Nothing follows revocations here.

use std::sync::Arc;

use shared::config::Faults;

use super::{
    Open, Strategy,
    sources::Process,
    tokens::{TokenArguments, TokenSettings, Tokens},
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

    fn start(&self, process: &mut Process<'_>) -> Result<Open, reqwest::Error> {
        let tokens = Tokens::start(&self.0, process)?;
        Ok(Arc::new(move |thread| tokens.open(thread)))
    }
}

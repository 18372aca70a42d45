//! What the token endpoint gives besides: renewals and exchanges; and the keys.

use reqwest::StatusCode;

use super::{LoggedIn, LoginError, Users, answered, granted, unreachable};
use crate::subject::{
    stack::{Client, EXCHANGED_AUDIENCE},
    strategy::Credential,
};

const FORM: &str = "application/x-www-form-urlencoded";

impl Users {
    /// Renews a token login, which spends its refresh token.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn renew(&self, refresh_token: &str) -> Result<LoggedIn, LoginError> {
        const WHAT: &str = "renewing a login";
        let url = format!("{}/oauth/token", self.auth);
        // The alphabet of refresh tokens needs no encoding in a form.
        let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
        let request = self.client.post(&url).header("content-type", FORM);
        let answer = answered(WHAT, url, request.body(form), StatusCode::OK)?;
        granted(WHAT, answer, Credential::Token)
    }

    /// Exchanges a session id for a token (RFC 8693), as the gateway does for `phantom`.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn exchange(&self, session_id: &str, client: &Client) -> Result<(), LoginError> {
        const WHAT: &str = "exchanging a session id";
        let url = format!("{}/oauth/token", self.auth);
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &subject_token={session_id}\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
             &audience={EXCHANGED_AUDIENCE}"
        );
        let request = self.client.post(&url).header("content-type", FORM);
        let request = request.basic_auth(&client.id, Some(&client.secret));
        answered(WHAT, url, request.body(form), StatusCode::OK).map(drop)
    }

    /// The key set, as verifiers fetch it.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn key_set(&self) -> Result<String, LoginError> {
        const WHAT: &str = "fetching the key set";
        let url = format!("{}/.well-known/jwks.json", self.auth);
        let answer = answered(WHAT, url.clone(), self.client.get(&url), StatusCode::OK)?;
        answer.text().map_err(unreachable(WHAT, url))
    }
}

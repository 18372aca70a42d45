//! The part of the configuration about data that belong to a login.

use std::time::Duration;

use shared::config::{Faults, Secret};

use crate::state::StateKeys;

#[derive(clap::Args, Debug)]
pub(super) struct LoginArgs {
    /// Strategies that keep no session: the keys that seal what the client carries, ID=KEY[,…],
    /// each 32 bytes as base64url. The first seals, all open. Without them /cart answers 503.
    #[arg(long, env = "API_STATE_KEYS", hide_env_values = true)]
    state_keys: Option<Secret<String>>,

    /// How long a browser keeps what it carries; no shorter than a login lasts.
    #[arg(long, env = "API_STATE_TTL", default_value = "12h")]
    state_ttl: String,

    /// Hand out a session cookie that means nothing, as servlet containers do: true or false.
    #[arg(long, env = "API_MEANINGLESS_COOKIE", default_value = "false")]
    meaningless_cookie: String,
}

/// What belongs to a login and is carried by the client.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Seals what the client carries.
    pub state_keys: Option<StateKeys>,
    /// How long a browser keeps it.
    pub state_ttl: Duration,
    /// Whether a cookie that means nothing is handed out.
    pub meaningless_cookie: bool,
}

impl LoginArgs {
    pub(super) fn check(&self, faults: &mut Faults) -> Option<LoginSettings> {
        let given = self.state_keys.as_ref().map(|text| text.expose().as_str());
        let parsed = given
            .filter(|text| !text.is_empty())
            .map(StateKeys::parse)
            .transpose()
            .map_err(|reasons| reasons.join("; "));
        let state_keys = faults.check("API_STATE_KEYS", parsed);
        let state_ttl = faults.positive_duration("API_STATE_TTL", &self.state_ttl);
        let meaningless_cookie = faults.parsed(
            "API_MEANINGLESS_COOKIE",
            &self.meaningless_cookie,
            "true or false",
        );
        Some(LoginSettings {
            state_keys: state_keys?,
            state_ttl: state_ttl?,
            meaningless_cookie: meaningless_cookie?,
        })
    }
}

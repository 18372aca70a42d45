//! What is demanded of the claims about a caller, whoever read them: this service out of a token, or
//! the authorization server in its answer.

use std::time::Duration;

use shared::{
    config::{Faults, Given, url},
    token::RolesClaim,
};

/// The most that two clocks may differ; RFC 7519 §4.1.4: "usually no more than a few minutes".
const MOST_LEEWAY: Duration = Duration::from_secs(300);

/// The variables.
#[derive(clap::Args)]
pub(super) struct ProfileArguments {
    /// Tokens, introspection: the issuer that must be named, byte for byte. Tokens may be of others, too
    /// (API_OTHER_ISSUERS).
    #[arg(long, env = "API_ISSUER", default_value = "http://127.0.0.1:8080/auth")]
    issuer: Given<String>,

    /// Tokens, introspection: the audience that must be named.
    #[arg(long, env = "API_AUDIENCE", default_value = "statewise-api")]
    audience: Given<String>,

    /// Tokens, introspection: how far the issuer's clock and ours may differ.
    #[arg(long, env = "API_LEEWAY", default_value = "30s")]
    leeway: Given<Duration>,

    /// Tokens, introspection: the claim that has the caller's roles, such as groups, scope or
    /// realm_access.roles.
    #[arg(long, env = "API_ROLES_CLAIM", default_value = "roles")]
    roles_claim: Given<String>,
}

/// What the variables say.
pub(super) struct Profile {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) leeway: Duration,
    pub(super) roles: RolesClaim,
}

impl ProfileArguments {
    /// Checks the variables, noting every fault.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<Profile> {
        let issuer = self.issuer.checked(faults, issuer);
        let audience = self.audience.checked(faults, audience);
        let leeway = self.leeway.checked(faults, |leeway| {
            if leeway > MOST_LEEWAY {
                Err("must be at most 5m")
            } else {
                Ok(leeway)
            }
        });
        let roles = self.roles_claim.checked(faults, |text| text.parse());
        Some(Profile {
            issuer: issuer?,
            audience: audience?,
            leeway: leeway?,
            roles: roles?,
        })
    }
}

/// The name of an issuer, which is a URL. Claims are compared with the text, which is not changed.
pub(super) fn issuer(text: String) -> Result<String, String> {
    url(&text, &["http", "https"]).map(|_| text)
}

/// The name of an audience.
pub(super) fn audience(text: String) -> Result<String, String> {
    if text.is_empty() {
        Err("the audience must not be empty".to_owned())
    } else {
        Ok(text)
    }
}

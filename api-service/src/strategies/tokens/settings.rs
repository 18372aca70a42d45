//! Whose tokens are accepted: the variables, and the settings that they become.

use std::time::Duration;

use serde::Deserialize;
use shared::{
    config::{Faults, Given, url},
    token::{AccessTokenProfile, TokenAlgorithms},
};

use super::jwks::{Discovery, JwksSettings, KeySource};
use crate::strategies::{
    http_client::AuthorityArguments,
    profile::{self, Profile, ProfileArguments},
};

/// In place of an address: the keys are where the issuer's metadata say.
const DISCOVER: &str = "discover";

/// The variables.
#[derive(clap::Args)]
pub(crate) struct TokenArguments {
    #[command(flatten)]
    profile: ProfileArguments,

    /// Tokens: where the issuer publishes its keys; or discover: where its metadata say, which are
    /// looked for below the issuer (OpenID Connect Discovery, RFC 8414).
    #[arg(
        long,
        env = "API_JWKS_URL",
        default_value = "http://127.0.0.1:8081/.well-known/jwks.json"
    )]
    jwks_url: Given<String>,

    /// Tokens: whether an issuer on another machine, and the keys that it names, may be asked over
    /// http where keys are discovered: true or false.
    #[arg(long, env = "API_DISCOVERY_OVER_HTTP", default_value = "false")]
    discovery_over_http: Given<bool>,

    /// Tokens: the algorithms that they may be signed with, separated by commas; default: RS256, RS384,
    /// RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA, whichever the key is for.
    #[arg(
        long,
        env = "API_ALGORITHMS",
        default_value = "",
        hide_default_value = true
    )]
    algorithms: Given<Option<String>>,

    #[arg(
        long,
        env = "API_OTHER_ISSUERS",
        default_value = "",
        hide_default_value = true,
        help = "Tokens: issuers that are trusted besides API_ISSUER, a JSON list such as \
                [{\"issuer\":\"https://id.example\",\"audience\":\"api\",\"algorithms\":[\"ES256\"]}]. Each \
                has an issuer; audience, algorithms, types and roles_claim where they differ from \
                the variables; and jwks_url, without which its keys are discovered. What was \
                revoked is known of API_ISSUER only"
    )]
    other_issuers: Given<Option<String>>,

    #[command(flatten)]
    authorities: AuthorityArguments,

    /// Tokens: the longest life of a token that is accepted.
    #[arg(long, env = "API_MAX_TOKEN_LIFETIME", default_value = "24h")]
    max_token_lifetime: Given<Duration>,

    /// Tokens: the kinds that are accepted, by the typ of their header, separated by commas. Add JWT
    /// for an issuer that does not follow RFC 9068, and give its ID tokens another audience.
    #[arg(long, env = "API_TOKEN_TYPES", default_value = "at+jwt")]
    token_types: Given<String>,

    /// Tokens: how often the keys are fetched anew, ahead of need.
    #[arg(long, env = "API_JWKS_REFRESH", default_value = "5m")]
    jwks_refresh: Given<Duration>,

    /// Tokens: how long after a fetch an unknown key id causes no other.
    #[arg(long, env = "API_JWKS_COOLDOWN", default_value = "10s")]
    jwks_cooldown: Given<Duration>,

    /// Tokens: how many verified ones of each issuer each worker thread remembers, so that their
    /// signature is not checked again; 0 for none.
    #[arg(long, env = "API_REMEMBERED_TOKENS", default_value = "0")]
    remembered_tokens: Given<usize>,
}

/// What verifying tokens needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Whose tokens they are, where only one issuer is trusted.
    pub issuer: IssuerSettings,
    /// Who else is trusted, each only with its own keys (RFC 8725 §3.8). No two have one name.
    pub others: Vec<IssuerSettings>,
    /// How many verified tokens of each issuer each worker thread remembers; 0: none.
    pub remembered: usize,
}

/// An issuer that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What a token must say.
    pub profile: AccessTokenProfile,
    /// Where the keys come from.
    pub jwks: JwksSettings,
}

/// An entry of `API_OTHER_ISSUERS`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherIssuer {
    issuer: String,
    audience: Option<String>,
    algorithms: Option<Vec<String>>,
    types: Option<Vec<String>>,
    roles_claim: Option<String>,
    jwks_url: Option<String>,
}

impl TokenArguments {
    /// Checks the variables, noting every fault.
    pub(in crate::strategies) fn check(&self, faults: &mut Faults) -> Option<TokenSettings> {
        let profile = self.profile.check(faults);
        let address = self.jwks_url.checked(faults, |text| address(&text));
        let over_http = self.discovery_over_http.value(faults);
        let algorithms = self.algorithms.checked(faults, |text| match text {
            Some(text) => text.parse(),
            None => Ok(TokenAlgorithms::default()),
        });
        let others = self.other_issuers.checked(faults, others);
        let authorities = self.authorities.check(faults);
        let max_lifetime = self.max_token_lifetime.positive(faults);
        let types = self.token_types.checked(faults, |text| text.parse());
        let refresh = self.jwks_refresh.positive(faults);
        let cooldown = self.jwks_cooldown.positive(faults);
        let remembered = self.remembered_tokens.value(faults);
        let Profile {
            issuer,
            audience,
            leeway,
            roles,
        } = profile?;
        let over_http = over_http?;
        let keys = key_source(&issuer, address?, over_http)
            .map_err(|reason| format!("{DISCOVER}: {issuer} {reason}"));
        let issuer = IssuerSettings {
            jwks: JwksSettings {
                issuer: issuer.clone(),
                keys: faults.check(self.jwks_url.variable(), keys)?,
                authorities: authorities?,
                refresh: refresh?,
                cooldown: cooldown?,
                leeway,
            },
            profile: AccessTokenProfile {
                issuer,
                audience,
                leeway,
                max_lifetime: max_lifetime?,
                types: types?,
                algorithms: algorithms?,
                roles,
            },
        };
        Some(TokenSettings {
            others: self.check_others(others?, &issuer, over_http, faults)?,
            issuer,
            remembered: remembered?,
        })
    }

    fn check_others(
        &self,
        others: Vec<OtherIssuer>,
        first: &IssuerSettings,
        over_http: bool,
        faults: &mut Faults,
    ) -> Option<Vec<IssuerSettings>> {
        let variable = self.other_issuers.variable();
        let mut trusted = vec![first.profile.issuer.clone()];
        let mut checked = Vec::new();
        for other in others {
            let named = format!("{variable}: {}", other.issuer);
            if trusted.contains(&other.issuer) {
                faults.add(&named, "it is trusted already");
            }
            trusted.push(other.issuer.clone());
            // After a fault on to the next, for its faults.
            checked.push(other.check(&named, first, over_http, faults));
        }
        checked.into_iter().collect()
    }
}

impl OtherIssuer {
    /// What it does not say is as with `first`. `named` stands before each fault.
    fn check(
        self,
        named: &str,
        first: &IssuerSettings,
        over_http: bool,
        faults: &mut Faults,
    ) -> Option<IssuerSettings> {
        let AccessTokenProfile {
            audience,
            types,
            algorithms,
            roles,
            ..
        } = first.profile.clone();
        let issuer = faults.check(named, profile::issuer(self.issuer));
        let audience = self.audience.map_or(Ok(audience), profile::audience);
        let audience = faults.check(named, audience);
        let types = list(self.types, types).map_err(|reason| format!("types {reason}"));
        let types = faults.check(named, types);
        let algorithms = list(self.algorithms, algorithms);
        let algorithms = algorithms.map_err(|reason| format!("algorithms {reason}"));
        let algorithms = faults.check(named, algorithms);
        let roles = self.roles_claim.map_or(Ok(roles), |text| text.parse());
        let roles = roles.map_err(|reason| format!("roles_claim {reason}"));
        let roles = faults.check(named, roles);
        let address = self.jwks_url.map_or(Ok(None), |text| address(&text));
        let address = address.map_err(|reason| format!("jwks_url: {reason}"));
        let address = faults.check(named, address);
        let issuer = issuer?;
        let keys = faults.check(named, key_source(&issuer, address?, over_http));
        Some(IssuerSettings {
            jwks: JwksSettings {
                issuer: issuer.clone(),
                keys: keys?,
                ..first.jwks.clone()
            },
            profile: AccessTokenProfile {
                issuer,
                audience: audience?,
                types: types?,
                algorithms: algorithms?,
                roles: roles?,
                ..first.profile.clone()
            },
        })
    }
}

/// Entries as they were written.
fn others(text: Option<String>) -> Result<Vec<OtherIssuer>, String> {
    serde_json::from_str(text.as_deref().unwrap_or("[]"))
        .map_err(|error| format!("must be a JSON list of issuers ({error})"))
}

/// Where keys are said to be; `None`: they are to be discovered.
fn address(text: &str) -> Result<Option<url::Url>, String> {
    if text == DISCOVER {
        return Ok(None);
    }
    url(text, &["http", "https"])
        .map(Some)
        .map_err(|reason| format!("{reason}; or {DISCOVER}"))
}

fn key_source(
    issuer: &str,
    address: Option<url::Url>,
    over_http: bool,
) -> Result<KeySource, String> {
    match address {
        Some(url) => Ok(KeySource::At(url)),
        None => Discovery::new(issuer, over_http).map(KeySource::Discovered),
    }
}

/// What the elements are together, or what holds where nothing is said.
fn list<T: std::str::FromStr>(elements: Option<Vec<String>>, otherwise: T) -> Result<T, T::Err> {
    elements.map_or(Ok(otherwise), |elements| elements.join(",").parse())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Raw {
        #[command(flatten)]
        tokens: TokenArguments,
    }

    fn check(options: &[&str]) -> (Option<TokenSettings>, String) {
        let raw = Raw::try_parse_from([&["test"], options].concat()).unwrap();
        let mut faults = Faults::default();
        let settings = raw.tokens.check(&mut faults);
        (settings, faults.to_string())
    }

    fn discovered(issuer: &str) -> KeySource {
        KeySource::Discovered(Discovery::new(issuer, true).unwrap())
    }

    #[test]
    fn another_issuer_is_as_it_says_and_otherwise_as_the_variables_say() {
        let others = json!([
            {"issuer": "https://a.example"},
            {
                "issuer": "https://b.example/", "audience": "b", "algorithms": ["ES256", "EdDSA"],
                "types": ["JWT"], "roles_claim": "groups", "jwks_url": "http://b.example/keys",
            },
        ])
        .to_string();
        let (settings, faults) = check(&[
            "--other-issuers",
            &others,
            "--audience",
            "ours",
            "--algorithms",
            "RS256",
            "--token-types",
            "at+jwt,JWT",
            "--leeway",
            "7s",
        ]);
        let settings = settings.expect(&faults);
        let first = &settings.issuer;
        let [a, b] = &settings.others[..] else {
            panic!("{settings:?}");
        };
        let profile = AccessTokenProfile {
            issuer: "https://a.example".to_owned(),
            ..first.profile.clone()
        };
        let jwks = JwksSettings {
            issuer: "https://a.example".to_owned(),
            keys: discovered("https://a.example"),
            ..first.jwks.clone()
        };
        assert_eq!(*a, IssuerSettings { profile, jwks });
        let profile = AccessTokenProfile {
            issuer: "https://b.example/".to_owned(),
            audience: "b".to_owned(),
            types: "JWT".parse().unwrap(),
            algorithms: "ES256,EdDSA".parse().unwrap(),
            roles: "groups".parse().unwrap(),
            ..first.profile.clone()
        };
        assert_eq!(b.profile, profile);
        assert_eq!(b.profile.leeway, Duration::from_secs(7));
        let url = "http://b.example/keys".parse().unwrap();
        assert_eq!(b.jwks.keys, KeySource::At(url));
    }

    #[test]
    fn keys_of_the_first_issuer_are_discovered_when_it_is_said() {
        let (settings, _) = check(&["--jwks-url", "discover", "--issuer", "https://a.example"]);
        let jwks = settings.unwrap().issuer.jwks;
        assert_eq!(jwks.keys, discovered("https://a.example"));
        let elsewhere = ["--jwks-url", "discover", "--issuer", "http://a.example"];
        let (settings, faults) = check(&elsewhere);
        assert!(settings.is_none());
        assert!(faults.contains("API_JWKS_URL: discover: http://a.example is neither https"));
        let allowed = ["--discovery-over-http", "true"];
        assert!(check(&[&elsewhere[..], &allowed].concat()).0.is_some());
    }

    #[test]
    fn every_fault_of_other_issuers_is_told_with_the_one_that_has_it() {
        for (others, says) in [
            ("nonsense", "API_OTHER_ISSUERS: must be a JSON list"),
            ("{}", "API_OTHER_ISSUERS: must be a JSON list"),
            (r#"[{"audience":"a"}]"#, "missing field `issuer`"),
            (
                r#"[{"issuer":"https://a","keys":"x"}]"#,
                "unknown field `keys`",
            ),
        ] {
            let (settings, faults) = check(&["--other-issuers", others]);
            assert!(settings.is_none() && faults.contains(says), "{faults}");
        }
        let others = json!([
            {"issuer": "a"},
            {"issuer": "http://b.example"},
            {
                "issuer": "https://c.example", "audience": "", "algorithms": ["none"], "types": [],
                "roles_claim": "a..b", "jwks_url": "file:///keys",
            },
            {"issuer": "http://127.0.0.1:8080/auth"},
            {"issuer": "https://c.example"},
        ])
        .to_string();
        let (settings, faults) = check(&["--other-issuers", &others]);
        assert!(settings.is_none());
        for says in [
            "ISSUERS: a: not a URL",
            "ISSUERS: http://b.example: is neither https",
            "ISSUERS: https://c.example: the audience must not be empty",
            "ISSUERS: https://c.example: algorithms must be some of RS256",
            "ISSUERS: https://c.example: types must be",
            "ISSUERS: https://c.example: roles_claim must be",
            "ISSUERS: https://c.example: jwks_url: its scheme must be one of http, https; or discover",
            "ISSUERS: http://127.0.0.1:8080/auth: it is trusted already",
            "ISSUERS: https://c.example: it is trusted already",
        ] {
            assert!(faults.contains(says), "{says} is missing in\n{faults}");
        }
        assert_eq!(faults.lines().count(), 9, "{faults}");
        let (_, faults) = check(&["--algorithms", "HS256"]);
        assert!(
            faults.contains("API_ALGORITHMS: must be some of"),
            "{faults}"
        );
    }
}

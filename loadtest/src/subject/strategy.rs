//! What can be compared: the strategies of the API, and some of them in a variant.

use serde::Serialize;

/// Every pool that a stack can have and that `--strategy` takes.
pub const KNOWN_STRATEGIES: [&str; 9] = [
    "jwt",
    "session",
    "session-cached",
    "jwt-revocable",
    "introspection",
    "phantom",
    "jwt-remembered",
    "jwt-revocable-remembered",
    "phantom-remembered",
];

/// Ending of the variants that remember verified tokens.
const REMEMBERED: &str = "-remembered";
/// How many tokens a remembering replica remembers.
const REMEMBERED_TOKENS: &str = "10000";

/// One of [`KNOWN_STRATEGIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    name: &'static str,
}

impl Strategy {
    /// The strategy of this name; `None` when it is not known.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let known = KNOWN_STRATEGIES.into_iter().find(|&known| known == name);
        known.map(|name| Self { name })
    }

    /// Name of its pool and first segment of its paths.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// What `API_STRATEGY` is for its replicas: a variant is the same strategy.
    #[must_use]
    pub fn api_strategy(self) -> &'static str {
        self.name.strip_suffix(REMEMBERED).unwrap_or(self.name)
    }

    /// Variables of its replicas that those of another pool do not have.
    #[must_use]
    pub fn variables(self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("API_STRATEGY", self.api_strategy().to_owned())];
        if self.remembers() {
            variables.push(("API_REMEMBERED_TOKENS", REMEMBERED_TOKENS.to_owned()));
        }
        variables
    }

    /// Whether its replicas remember verified tokens.
    #[must_use]
    pub fn remembers(self) -> bool {
        self.name.ends_with(REMEMBERED)
    }

    /// Whether the gateway exchanges the credential on the way.
    #[must_use]
    pub fn is_exchanged(self) -> bool {
        self.api_strategy() == "phantom"
    }

    /// What it is presented with.
    #[must_use]
    pub fn credential(self) -> Credential {
        match self.api_strategy() {
            "jwt" | "jwt-revocable" => Credential::Token,
            _ => Credential::Session,
        }
    }
}

/// Kind of credential that a strategy is presented with, as `POST /login` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// A signed access token.
    Token,
    /// An opaque session id.
    Session,
}

impl Credential {
    /// What `strategy` is presented with; `None` for a strategy that is not known.
    #[must_use]
    pub fn of(strategy: &str) -> Option<Self> {
        Strategy::named(strategy).map(Strategy::credential)
    }

    /// As in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_the_same_strategy_with_a_variable_more() {
        let plain = Strategy::named("phantom").unwrap();
        let variant = Strategy::named("phantom-remembered").unwrap();
        assert_eq!(plain.api_strategy(), variant.api_strategy());
        assert_eq!(plain.credential(), variant.credential());
        assert!(plain.is_exchanged() && variant.is_exchanged());
        assert_eq!(plain.variables().len() + 1, variant.variables().len());
    }

    #[test]
    fn only_what_is_signed_is_presented_as_a_token() {
        let tokens: Vec<&str> = KNOWN_STRATEGIES
            .into_iter()
            .filter_map(Strategy::named)
            .filter(|strategy| strategy.credential() == Credential::Token)
            .map(Strategy::name)
            .collect();
        assert_eq!(
            tokens,
            [
                "jwt",
                "jwt-revocable",
                "jwt-remembered",
                "jwt-revocable-remembered"
            ]
        );
    }

    #[test]
    fn nothing_else_is_known() {
        assert_eq!(Strategy::named("cookies"), None);
        assert_eq!(Strategy::named("session-remembered"), None);
    }
}

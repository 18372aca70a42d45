//! The part of the configuration that says how callers are known.

mod args;

use std::{collections::BTreeMap, time::Duration};

use shared::{
    config::{Faults, Secret},
    revocation::FollowerSettings,
    session::{CacheSettings, StoreSettings},
    token::AccessTokenProfile,
};

use self::args::Checked;
pub(super) use self::args::StrategyArgs;
use crate::routes;

/// How callers are known, with what that needs and nothing else.
///
/// Strategies that are equal, or share settings that are equal, share what is made of them: the key
/// set, the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrategyConfig {
    /// `jwt`: signed access tokens, verified here.
    Jwt(TokenSettings),
    /// `jwt-revocable`: signed access tokens, verified here, that were not taken back.
    JwtRevocable(RevocableTokenSettings),
    /// `session`: opaque ids, looked up in Redis.
    Session(StoreSettings),
    /// `session-cached`: opaque ids, known from memory for as long as Redis says so.
    SessionCached(CachedSessionSettings),
    /// `introspection`: opaque ids that the authorization server is asked about.
    Introspection(IntrospectionSettings),
    /// `phantom`: tokens that the gateway gets for opaque ids, verified here.
    Phantom(TokenSettings),
}

/// What verifying tokens needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// What a token must say.
    pub profile: AccessTokenProfile,
    /// Where the keys come from.
    pub jwks: JwksSettings,
    /// How many verified tokens each worker thread remembers; 0: none.
    pub remembered: usize,
}

/// What verifying tokens that can be taken back needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocableTokenSettings {
    /// What verifying them needs.
    pub tokens: TokenSettings,
    /// Where what is taken back is told, and how old that may be.
    pub revocations: FollowerSettings,
}

/// Where the issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksSettings {
    /// Where the issuer publishes them.
    pub url: url::Url,
    /// How often they are fetched ahead of need.
    pub refresh: Duration,
    /// How long after a fetch an unknown key id causes no other.
    pub cooldown: Duration,
}

/// What keeping sessions in memory needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedSessionSettings {
    /// Which Redis.
    pub store: StoreSettings,
    /// How much is kept, and for how long without Redis.
    pub cache: CacheSettings,
}

/// What asking the authorization server needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionSettings {
    /// The endpoint of RFC 7662.
    pub url: url::Url,
    /// How this service is known there.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret<String>,
    /// Deadline of each call.
    pub timeout: Duration,
    /// How long an active answer is kept; zero: not at all.
    pub cache: Duration,
}

/// A strategy's name, and how it is made of the arguments.
type Known = (
    &'static str,
    fn(&Checked<'_>, &mut Faults) -> Option<StrategyConfig>,
);

/// All strategies.
const KNOWN: [Known; 6] = [
    ("jwt", |checked, faults| {
        checked.token(faults).map(StrategyConfig::Jwt)
    }),
    ("jwt-revocable", |checked, faults| {
        checked.revocable(faults).map(StrategyConfig::JwtRevocable)
    }),
    ("session", |checked, faults| {
        checked.store(faults).map(StrategyConfig::Session)
    }),
    ("session-cached", |checked, faults| {
        checked.cached(faults).map(StrategyConfig::SessionCached)
    }),
    ("introspection", |checked, faults| {
        checked
            .introspection(faults)
            .map(StrategyConfig::Introspection)
    }),
    ("phantom", |checked, faults| {
        checked.token(faults).map(StrategyConfig::Phantom)
    }),
];

impl StrategyConfig {
    /// The strategy's name, as `API_STRATEGY` spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Jwt(_) => "jwt",
            Self::JwtRevocable(_) => "jwt-revocable",
            Self::Session(_) => "session",
            Self::SessionCached(_) => "session-cached",
            Self::Introspection(_) => "introspection",
            Self::Phantom(_) => "phantom",
        }
    }
}

/// Checks the strategy of the service and those of its routes, noting every fault of any of them.
pub(super) fn check(
    args: &StrategyArgs,
    faults: &mut Faults,
) -> Option<(StrategyConfig, BTreeMap<&'static str, StrategyConfig>)> {
    let checked = Checked::new(args);
    let strategy = match args.strategy.as_deref() {
        Some(name) => named(name, "API_STRATEGY", &checked, faults),
        None => {
            faults.add("API_STRATEGY", format!("is required: {}", names()));
            any(&checked, faults);
            None
        }
    };
    let routes = route_table(args.route_strategies.as_deref(), &checked, faults);
    Some((strategy?, routes?))
}

fn named(
    name: &str,
    variable: &str,
    checked: &Checked<'_>,
    faults: &mut Faults,
) -> Option<StrategyConfig> {
    let Some((_, check)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        faults.add(variable, format!("{name:?} is not {}", names()));
        any(checked, faults);
        return None;
    };
    check(checked, faults)
}

/// Which settings are needed is unknown, so all that have a value anyway are looked at: a fault in
/// the name of a strategy must not hide the others.
fn any(checked: &Checked<'_>, faults: &mut Faults) {
    checked.revocable(faults);
    checked.cached(faults);
}

fn names() -> String {
    let names: Vec<_> = KNOWN.iter().map(|(name, _)| *name).collect();
    format!("one of {}", names.join(", "))
}

/// A table such as `/admin=introspection,/cart=session`.
fn route_table(
    text: Option<&str>,
    checked: &Checked<'_>,
    faults: &mut Faults,
) -> Option<BTreeMap<&'static str, StrategyConfig>> {
    const VARIABLE: &str = "API_ROUTE_STRATEGIES";
    let mut table = BTreeMap::new();
    let mut complete = true;
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    for entry in text.into_iter().flat_map(|text| text.split(',')) {
        let Some((route, name)) = entry.split_once('=') else {
            faults.add(VARIABLE, format!("{entry:?} is not ROUTE=STRATEGY"));
            complete = false;
            continue;
        };
        let (route, name) = (route.trim(), name.trim());
        let strategy = named(name, VARIABLE, checked, faults);
        let known = routes::PROTECTED.iter().find(|known| **known == route);
        match (known, strategy) {
            (Some(route), Some(strategy)) => {
                if table.insert(*route, strategy).is_some() {
                    faults.add(VARIABLE, format!("{route} is there twice"));
                    complete = false;
                }
            }
            (Some(_), None) => complete = false,
            (None, _) => {
                let known = routes::PROTECTED.join(", ");
                faults.add(VARIABLE, format!("{route:?} is not one of {known}"));
                complete = false;
            }
        }
    }
    complete.then_some(table)
}

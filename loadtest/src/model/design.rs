//! What the design says of each strategy, where nothing was measured: one row a strategy, from
//! `docs/verdicts.md` and the decisions that are named.

/// Where a request asks, beside the replica that it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nobody.
    Nobody,
    /// Redis.
    Redis,
    /// Redis, when the replica has no session in memory.
    RedisOnMiss,
    /// The auth-service, which asks Redis.
    Auth,
    /// The auth-service, when the gateway has no token in memory.
    AuthOnMiss,
}

/// What ends a credential that was revoked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ends {
    /// The next request is refused.
    AtOnce,
    /// Somebody is told, within so many seconds.
    Told(f64),
    /// The token's own end.
    WithToken,
    /// The end of what the gateway got in exchange.
    WithExchange,
}

/// One strategy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) strategy: &'static str,
    /// The client holds a token that it renews.
    pub(super) token: bool,
    /// The API checks signatures, and so fetches keys.
    pub(super) signed: bool,
    pub(super) asks: Asks,
    /// Replicas follow the feed of revocations.
    pub(super) feed: bool,
    pub(super) ends: Ends,
    /// Share of the requests that are answered well while Redis is gone.
    pub(super) without_redis: f64,
    /// What else happens then.
    pub(super) while_gone: &'static str,
}

const TOKEN: Row = Row {
    strategy: "jwt",
    token: true,
    signed: true,
    asks: Asks::Nobody,
    feed: false,
    ends: Ends::WithToken,
    without_redis: 1.0,
    while_gone: "requests, logins and renewals go on",
};

const ROWS: [Row; 6] = [
    TOKEN,
    Row {
        strategy: "jwt-revocable",
        feed: true,
        // Looks are 0.2 s apart, and what could not be published is by a round 0.5 s later (decision 21).
        ends: Ends::Told(0.7),
        without_redis: 0.0,
        while_gone: "requests are answered for 5 s (API_REVOCATION_MAX_AGE), then 503; logins and renewals \
                     go on",
        ..TOKEN
    },
    Row {
        strategy: "session",
        token: false,
        signed: false,
        asks: Asks::Redis,
        feed: false,
        ends: Ends::AtOnce,
        without_redis: 0.0,
        while_gone: "every request is 503, and nobody can log in; sessions are gone with Redis' data",
    },
    Row {
        strategy: "session-cached",
        token: false,
        signed: false,
        asks: Asks::RedisOnMiss,
        feed: false,
        // Three deadlines of 250 ms while Redis is silent (decision 9); else a message.
        ends: Ends::Told(0.75),
        without_redis: 0.0,
        while_gone: "every request is 503 within 0.75 s, and nobody can log in; sessions are gone with \
                     Redis' data",
    },
    Row {
        strategy: "introspection",
        token: false,
        signed: false,
        asks: Asks::Auth,
        feed: false,
        ends: Ends::AtOnce,
        without_redis: 0.0,
        while_gone: "every request is 503, and nobody can log in; sessions are gone with Redis' data",
    },
    Row {
        strategy: "phantom",
        token: false,
        signed: true,
        asks: Asks::AuthOnMiss,
        feed: false,
        ends: Ends::WithExchange,
        without_redis: 0.0,
        while_gone: "requests are answered until the tokens that the gateway holds end, 10 s at most, then \
                     503; nobody can log in",
    },
];

impl Row {
    /// Of the strategy of this name, as `API_STRATEGY` has it.
    pub(super) fn of(api_strategy: &str) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.strategy == api_strategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::strategy::{KNOWN_STRATEGIES, Strategy};

    #[test]
    fn every_strategy_has_a_row() {
        for name in KNOWN_STRATEGIES {
            let strategy = Strategy::named(name).unwrap();
            assert!(Row::of(strategy.api_strategy()).is_some(), "{name}");
        }
    }
}

//! What follows from it: Redis, traffic, time.

use super::{Formula, GONE, REDIS, TIME, TRAFFIC, step};
use crate::model::{
    format::Unit,
    formula::{Expr, ceil, either, max, more, name},
};

/// Shards of Redis.
pub(super) fn redis() -> Vec<Formula> {
    vec![
        step(
            "redis_memory",
            "memory",
            Unit::Bytes,
            name("holds_session") * name("active_users") * name("session_bytes")
                + name("follows_feed")
                    * name("logins")
                    * (name("token_life") + name("leeway"))
                    * name("feed_bytes"),
            "Sessions that are alive with their index; of the feed, a revocation for each login, kept while \
             its token could be presented.",
        )
        .under(REDIS),
        step(
            "redis_reads",
            "questions to it",
            Unit::PerSecond,
            name("asks_redis")
                * name("rate")
                * (Expr::from(1.0) - name("memory_hits"))
                * name("reads_of_a_miss")
                + name("exchanges")
                + name("follows_feed") * name("threads") * name("feed_looks"),
            "By a replica, or by the auth-service for it; and looks at the feed.",
        )
        .under(REDIS),
        step(
            "redis_network",
            "network",
            Unit::BitsPerSecond,
            (name("redis_reads") * name("redis_bytes") + name("touches") * name("touch_bytes"))
                * 8.0,
            "In and out, of questions and touches.",
        )
        .under(REDIS),
        step(
            "redis_shards",
            "shards",
            Unit::Count,
            name("uses_redis")
                * max(
                    max(1.0, ceil(name("redis_cores"))),
                    max(
                        ceil(name("redis_memory") / name("shard_memory")),
                        ceil(name("redis_network") / name("shard_network")),
                    ),
                ),
            "What needs most: processor, memory or network. Keys are spread evenly over the shards.",
        )
        .under(REDIS),
    ]
}

/// Renewals, keys and credentials.
pub(super) fn traffic() -> Vec<Formula> {
    vec![
        step(
            "transactions",
            "transactions of the user database",
            Unit::PerSecond,
            name("renewals") + name("holds_token") * name("logins"),
            "A login with a token, and each renewal, is written before it is answered.",
        )
        .under(TRAFFIC),
        step(
            "key_fetches",
            "fetches of the key set",
            Unit::PerSecond,
            name("checks_signatures") * name("threads") / name("key_refresh"),
            "By each replica, ahead of need.",
        )
        .under(TRAFFIC),
        step(
            "key_traffic",
            "traffic of the key set",
            Unit::BitsPerSecond,
            name("key_fetches") * name("key_set_bytes") * 8.0,
            "Bodies of the answers.",
        ),
        step(
            "credential_traffic",
            "requests into the gateway",
            Unit::BitsPerSecond,
            name("rate") * name("request_bytes") * 8.0,
            "Requests with their credentials, once from the client and once more to the API; a token is \
             many times as long as a session id.",
        )
        .under(TRAFFIC),
    ]
}

/// Time that distance takes.
pub(super) fn time() -> Vec<Formula> {
    vec![
        step(
            "latency_ms",
            "added by distance",
            Unit::Milliseconds,
            name("rtt_ms")
                * (name("as_on_hit") * name("round_trips")
                    + (Expr::from(1.0) - name("as_on_hit")) * name("round_trips_on_miss")
                    + name("exchanges") / name("rate") * name("exchange_round_trips")),
            "Round trips that a request waits for, on average.",
        )
        .under(TIME),
        step(
            "waiting",
            "requests that wait for it",
            Unit::Plain,
            name("rate") * name("latency_ms") / 1e3,
            "Little's law.",
        )
        .under(TIME),
    ]
}

/// How soon a logout is seen, and what is left without Redis.
pub(super) fn ends() -> Vec<Formula> {
    vec![
        step(
            "logout_seen",
            "a logout is seen after",
            Unit::Seconds,
            name("ends_with_token") * (name("token_life") + name("leeway"))
                + name("ends_with_exchange") * name("exchange_life")
                + name("ends_by_word")
                    * (name("logout_lag")
                        + either(more(name("logout_lag"), 0.0), name("rtt_ms") / 1e3, 0.0)),
            "At the latest. What is told to the replicas travels once more.",
        )
        .under(GONE),
        step(
            "answered_without_redis",
            "answered while Redis is gone",
            Unit::Share,
            name("good_without_redis"),
            "Of the requests.",
        )
        .under(GONE),
        step(
            "life_for_logout",
            "life of a token that would do",
            Unit::Seconds,
            max(0.0, name("logout_within") - name("leeway")),
            "A token is accepted for the leeway after its end.",
        ),
        step(
            "renewals_then",
            "renewals with it",
            Unit::PerSecond,
            name("active_users") / (max(1.0, name("life_for_logout")) * name("renew_at")),
            "As above.",
        ),
    ]
}

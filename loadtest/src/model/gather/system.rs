//! Figures of the whole system.

use std::time::Duration;

use crate::{
    model::{
        figure::{Figure, Source},
        format::Unit,
    },
    results::{Estimate, Results, UnitCosts},
};

/// Where what nobody measured in these results was measured once: by hand, with a release build of this
/// version.
const ELSEWHERE: &str = "as this version had it on a virtual machine with 2 cores (AMD EPYC); compare \
                         measures it";

/// Sessions that were touched on each request beside sessions that were not, by hand with a release build.
const TOUCHES: &str = "as this version had it on a virtual machine with 2 cores (AMD EPYC); no experiment \
                       measures it";

pub(super) fn figures(all: &[&Results]) -> Vec<Figure> {
    let costs = |of: fn(&UnitCosts) -> Option<Estimate>| {
        let mut found = all.iter().filter_map(|one| one.unit_costs.as_ref());
        found.find_map(of)
    };
    let measured = |id, label, unit, estimate: Option<Estimate>, (assumed, told): (f64, &str)| {
        match estimate {
            Some(estimate) => Figure {
                id,
                label,
                unit,
                value: estimate.value,
                low: estimate.low,
                high: estimate.high,
                dear_is_low: false,
                source: Source::Measured(told.to_owned()),
            },
            None => assumed_as(id, label, unit, assumed, ELSEWHERE),
        }
    };
    let setting = |id, label, variable: &str, default: &str, share: f64| {
        let (seconds, source) = variable_of(all, variable, default);
        Figure {
            id,
            label,
            unit: Unit::Seconds,
            value: seconds * share,
            low: None,
            high: None,
            dear_is_low: false,
            source,
        }
    };
    vec![
        measured(
            "session_bytes",
            "memory of a session in Redis, with its index",
            Unit::Bytes,
            costs(|one| one.session_bytes),
            (
                728.0,
                "MEMORY USAGE of every key that logins made, by login",
            ),
        ),
        measured(
            "login_us",
            "processor time of a login in the auth-service",
            Unit::Microseconds,
            costs(|one| one.login_cpu_us),
            (26_000.0, "logins for it, with the password hash"),
        ),
        measured(
            "renewal_us",
            "processor time of a renewal in the auth-service",
            Unit::Microseconds,
            costs(|one| one.renewal_cpu_us),
            (1_000.0, "refresh tokens that were spent for it"),
        ),
        measured(
            "exchange_us",
            "processor time of an exchange in the auth-service",
            Unit::Microseconds,
            costs(|one| one.exchange_cpu_us),
            (1_000.0, "session ids that were exchanged for it"),
        ),
        measured(
            "key_set_bytes",
            "size of the key set",
            Unit::Bytes,
            costs(|one| one.key_set_bytes),
            (462.0, "the body of /.well-known/jwks.json"),
        ),
        setting(
            "key_refresh",
            "a replica fetches the key set every",
            "API_JWKS_REFRESH",
            "5m",
            1.0,
        ),
        setting(
            "leeway",
            "a token is accepted after its end for",
            "API_LEEWAY",
            "30s",
            1.0,
        ),
        assumed_as(
            "renew_at",
            "a client renews its token after",
            Unit::Share,
            0.8,
            "of its life; as the clients of loadtest coupling do",
        ),
        setting(
            "touch_every",
            "a session that is used is touched every",
            "AUTH_SESSION_IDLE_TTL",
            "30m",
            0.1,
        ),
        assumed_as(
            "touch_reads",
            "reads of a session that a touch costs Redis",
            Unit::Plain,
            0.8,
            TOUCHES,
        ),
        assumed_as(
            "touch_us",
            "processor time of a touch in the API, or in the auth-service where that reads sessions",
            Unit::Microseconds,
            10.0,
            TOUCHES,
        ),
        assumed_as(
            "touch_bytes",
            "bytes of a touch to Redis, both ways",
            Unit::Bytes,
            260.0,
            "a script with two writes, and its key",
        ),
        assumed_as(
            "reads_to_keep",
            "further reads of a session that was missed, to keep it",
            Unit::Plain,
            1.0,
            "by design: once more, over the connection on which Redis tells of changes",
        ),
        setting(
            "exchange_life",
            "life of an exchanged token",
            "AUTH_EXCHANGE_TTL",
            "10s",
            1.0,
        ),
        assumed_as(
            "exchange_round_trips",
            "round trips of an exchange",
            Unit::Plain,
            1.0,
            "by design: the auth-service, with Redis beside it",
        ),
        assumed_as(
            "gateway_threads",
            "threads of a gateway",
            Unit::Count,
            4.0,
            "each of one core; more are further gateways",
        ),
        assumed_as(
            "feed_bytes",
            "memory of a revocation in the feed",
            Unit::Bytes,
            250.0,
            "an entry of a stream and its member in the set of what cannot be forgotten",
        ),
        assumed_as(
            "feed_looks",
            "looks of a replica at the feed, a second",
            Unit::Plain,
            5.0,
            "by design (decision 21)",
        ),
    ]
}

fn assumed_as(id: &'static str, label: &'static str, unit: Unit, value: f64, why: &str) -> Figure {
    Figure {
        id,
        label,
        unit,
        value,
        low: None,
        high: None,
        dear_is_low: false,
        source: Source::Assumed(why.to_owned()),
    }
}

/// A setting of the measured system in seconds, or its default.
fn variable_of(all: &[&Results], variable: &str, default: &str) -> (f64, Source) {
    let facts = all.iter().flat_map(|results| &results.environment.facts);
    let mut set = facts.filter(|(name, _)| name.split(' ').next_back() == Some(variable));
    let parsed = |text: &str| humantime::parse_duration(text).map(|life| life.as_secs_f64());
    if let Some(seconds) = set.find_map(|(_, value)| parsed(value).ok()) {
        let told = format!("{variable} of the measured system");
        return (seconds, Source::Given(told));
    }
    let seconds = parsed(default).unwrap_or(Duration::ZERO.as_secs_f64());
    let told = format!("default of {variable}, {default}");
    (seconds, Source::Assumed(told))
}

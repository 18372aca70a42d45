//! Figures of one strategy.

use super::measured::Measured;
use crate::{
    model::{
        design::{Asks, Ends, Row},
        figure::{Figure, Source},
        format::Unit,
    },
    results::{ArmInfo, Estimate, Results, RevocationKind, scale::Component},
};

/// On the wire to Redis, both ways, of one read of a session; as this version had it.
const REDIS_BYTES: f64 = 375.0;

/// A value with its interval, and where it comes from.
type Sourced = ((f64, Option<f64>, Option<f64>), Source);

pub(super) fn of(
    own: &Measured<'_>,
    plain: Option<&Measured<'_>>,
    row: &Row,
    all: &[&Results],
) -> Vec<Figure> {
    let trips = trips(row, all, own.arm);
    let on_miss = match row.asks {
        Asks::RedisOnMiss => assumed(1.0, "by design: the session is read from Redis"),
        _ => trips.clone(),
    };
    vec![
        figure(
            "request_bytes",
            "size of a request",
            Unit::Bytes,
            request(own, row),
        ),
        figure(
            "redis_bytes",
            "bytes of a question to Redis, both ways",
            Unit::Bytes,
            redis(own, plain, row),
        ),
        figure(
            "round_trips",
            "round trips of a request",
            Unit::Plain,
            trips,
        ),
        figure(
            "round_trips_on_miss",
            "round trips of a request, on a miss",
            Unit::Plain,
            on_miss,
        ),
        figure(
            "logout_lag",
            "from a logout to its being seen, without distance",
            Unit::Seconds,
            lag(row, all, own.arm),
        ),
        figure(
            "good_without_redis",
            "answered well while Redis is gone",
            Unit::Share,
            good_without_redis(row, all, own.arm),
        ),
        figure(
            "scaling",
            "of what replicas were predicted to do",
            Unit::Share,
            scaling(all, own.arm),
        ),
    ]
}

fn figure(id: &'static str, label: &'static str, unit: Unit, sourced: Sourced) -> Figure {
    let ((value, low, high), source) = sourced;
    Figure {
        id,
        label,
        unit,
        value,
        low,
        high,
        dear_is_low: matches!(id, "scaling" | "good_without_redis"),
        source,
    }
}

fn measured(estimate: Estimate, told: &str) -> Sourced {
    (
        (estimate.value, estimate.low, estimate.high),
        Source::Measured(told.to_owned()),
    )
}

fn assumed(value: f64, why: &str) -> Sourced {
    ((value, None, None), Source::Assumed(why.to_owned()))
}

fn request(own: &Measured<'_>, row: &Row) -> Sourced {
    match own.last("request_bytes") {
        Some(found) => measured(found, "request_bytes"),
        None if row.token => assumed(930.0, "a token of RS256, as this version had it"),
        None => assumed(150.0, "a session id, as this version had it"),
    }
}

/// What asks Redis on each request tells what that is on the wire.
fn redis(own: &Measured<'_>, plain: Option<&Measured<'_>>, row: &Row) -> Sourced {
    let asker = match row.asks {
        Asks::RedisOnMiss => plain,
        Asks::Redis | Asks::Auth => Some(own),
        _ => None,
    };
    match asker.and_then(|asker| asker.last("redis_bytes_per_request")) {
        Some(found) => measured(found, "redis_bytes_per_request at the highest load"),
        None => assumed(REDIS_BYTES, "one read of a session, as this version had it"),
    }
}

/// What was observed of what was predicted, with the most replicas that were the bottleneck themselves.
fn scaling(all: &[&Results], arm: &ArmInfo) -> Sourced {
    let points = all.iter().filter_map(|one| one.scale.as_ref());
    let points = points.flat_map(|scale| &scale.points);
    let strategy = arm.strategy.as_deref();
    let most = points
        .filter(|point| Some(point.strategy.as_str()) == strategy)
        .filter(|point| point.bottleneck == Component::Api)
        .max_by_key(|point| point.replicas);
    match most {
        Some(point) => (
            (point.ratio, Some(point.ratio_low), Some(point.ratio_high)),
            Source::Measured(format!(
                "observed ÷ predicted with {} replicas, by loadtest scale",
                point.replicas
            )),
        ),
        None => assumed(
            1.0,
            "each further replica does as much as the first; loadtest scale measures it",
        ),
    }
}

/// Round trips that a request waits for.
fn trips(row: &Row, all: &[&Results], arm: &ArmInfo) -> Sourced {
    let slopes = all.iter().filter_map(|one| one.distance.as_ref());
    let mut slopes = slopes.flat_map(|distance| &distance.slopes);
    let strategy = arm.strategy.as_deref();
    if let Some(slope) = slopes.find(|slope| Some(slope.strategy.as_str()) == strategy) {
        // Of the mean: also the rare request that waits for several counts.
        return (
            (
                slope.mean_round_trips.max(0.0),
                Some(slope.mean_low.max(0.0)),
                Some(slope.mean_high.max(0.0)),
            ),
            Source::Measured("slope of the mean response time, by loadtest distance".to_owned()),
        );
    }
    let (trips, why) = match row.asks {
        Asks::Nobody => (
            0.0,
            "by design: nobody is asked; loadtest distance measures it",
        ),
        Asks::Redis => (1.0, "by design: one HMGET; loadtest distance measures it"),
        Asks::RedisOnMiss => (
            0.0,
            "by design: on a hit nobody is asked; loadtest distance measures it",
        ),
        Asks::Auth => (
            1.0,
            "by design: the auth-service, with Redis beside it; loadtest distance measures it",
        ),
        Asks::AuthOnMiss => (
            0.0,
            "by design: the API asks nobody; loadtest distance measures it",
        ),
    };
    assumed(trips, why)
}

/// How long after a logout the credential is still accepted, where a message ends it or the next request.
fn lag(row: &Row, all: &[&Results], arm: &ArmInfo) -> Sourced {
    let by_design = match row.ends {
        Ends::AtOnce => (0.0, "by design: the next request is refused"),
        Ends::Told(seconds) => (
            seconds,
            "by design, when a message is lost; else milliseconds",
        ),
        Ends::WithToken => (0.0, "it ends with the token"),
        Ends::WithExchange => (0.0, "it ends with the exchanged token"),
    };
    let by_design = assumed(by_design.0, by_design.1);
    if matches!(row.ends, Ends::WithToken | Ends::WithExchange) {
        return by_design;
    }
    let lags = all.iter().filter_map(|one| one.freshness.as_ref());
    let mut lags = lags.flat_map(|freshness| &freshness.lags);
    let strategy = arm.strategy.as_deref();
    let found = lags.find(|lag| {
        Some(lag.strategy.as_str()) == strategy
            && lag.kind == RevocationKind::Logout
            && lag.revocations > 0
    });
    match found {
        None => by_design,
        Some(lag) => {
            let high = lag.max_ms.max(lag.resolution_ms.unwrap_or(0.0));
            (
                (lag.p99_ms / 1e3, Some(lag.p50_ms / 1e3), Some(high / 1e3)),
                Source::Measured(format!("99th percentile over {} logouts", lag.revocations)),
            )
        }
    }
}

/// Share of the requests that are answered well while Redis is gone. What outlasts a short fault by what it
/// keeps is told by design: the question is of an outage that lasts.
fn good_without_redis(row: &Row, all: &[&Results], arm: &ArmInfo) -> Sourced {
    const FAULTS: [&str; 3] = ["redis_killed", "redis_hung", "redis_refusing"];
    let keeps = row.feed || matches!(row.asks, Asks::RedisOnMiss | Asks::AuthOnMiss);
    let cells = all.iter().filter_map(|one| one.coupling.as_ref());
    let cells = cells.flat_map(|coupling| &coupling.cells);
    let strategy = arm.strategy.as_deref();
    let worst = cells
        .filter(|cell| Some(cell.strategy.as_str()) == strategy)
        .filter(|cell| FAULTS.contains(&cell.fault.as_str()))
        .min_by(|one, other| one.availability.mean.total_cmp(&other.availability.mean));
    match worst {
        Some(cell) if !keeps => {
            let found = cell.availability;
            (
                (found.mean, Some(found.low), Some(found.high)),
                Source::Measured(format!(
                    "{}, the worst of three ways to be gone",
                    cell.fault
                )),
            )
        }
        _ => assumed(row.without_redis, &format!("by design: {}", row.while_gone)),
    }
}

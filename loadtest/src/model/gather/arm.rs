//! One strategy of a model: its structure by design, its curves as they were measured.

use std::collections::BTreeMap;

use super::{
    Curve, Modelled, figures,
    measured::{Measured, remembers},
};
use crate::{
    model::{
        design::{Asks, Ends, Row},
        figure::{Source, Table},
    },
    results::{ArmInfo, Results},
    subject::strategy::Strategy,
};

/// One arm, or why it is none of the model.
pub(super) fn modelled(
    results: &Results,
    arm: &ArmInfo,
    all: &[&Results],
) -> Result<Modelled, String> {
    let name = &arm.name;
    let strategy = arm.strategy.as_deref().and_then(Strategy::named);
    let strategy =
        strategy.ok_or_else(|| format!("{name} is not modelled: it is none of ours."))?;
    let row = Row::of(strategy.api_strategy())
        .ok_or_else(|| format!("{name} is not modelled: nothing is known of its design."))?;
    let own = Measured { results, arm };
    let rates = own.rates();
    let rates = rates.ok_or_else(|| format!("{name} is not modelled: no load was measured."))?;
    let needed: &[&str] = match row.asks {
        Asks::Redis | Asks::RedisOnMiss => &["gateway", "api", "redis"],
        Asks::Auth => &["gateway", "api", "redis", "auth"],
        _ => &["gateway", "api"],
    };
    if let Some(part) = needed.iter().find(|part| own.curve(part).is_none()) {
        return Err(format!(
            "{name} is not modelled: the processor time of {part} was not measured (a system that runs tells it \
             with --gateway-admin and --redis-url)."
        ));
    }
    let keeps_tokens = remembers(arm, strategy);
    let keeps_sessions = row.asks == Asks::RedisOnMiss;
    // What a miss costs is what it costs the strategy that keeps nothing.
    let plain = match row.strategy {
        _ if !keeps_tokens && !keeps_sessions => Some(arm),
        "session-cached" => own.without_settings("session"),
        plain => own.without_settings(plain),
    };
    let plain = plain.map(|arm| Measured { results, arm });
    let plain = plain.filter(|plain| needed.iter().all(|part| plain.curve(part).is_some()));
    Ok(Modelled {
        name: name.clone(),
        strategy: row.strategy,
        structure: structure(row, keeps_tokens),
        rates,
        figures: figures::of(&own, plain.as_ref(), row, all),
        curves: curves(&own, plain.as_ref(), row),
        while_gone: row.while_gone,
    })
}

fn structure(row: &Row, keeps_tokens: bool) -> BTreeMap<&'static str, f64> {
    let is = |condition: bool| f64::from(u8::from(condition));
    [
        ("holds_token", row.token),
        ("checks_signatures", row.signed),
        ("holds_session", !row.token),
        ("follows_feed", row.feed),
        (
            "asks_redis",
            matches!(row.asks, Asks::Redis | Asks::RedisOnMiss | Asks::Auth),
        ),
        ("keeps_sessions", row.asks == Asks::RedisOnMiss),
        ("keeps_tokens", keeps_tokens),
        ("is_exchanged", row.asks == Asks::AuthOnMiss),
        // Who reads a session touches it.
        (
            "auth_touches",
            matches!(row.asks, Asks::Auth | Asks::AuthOnMiss),
        ),
        ("ends_with_token", row.ends == Ends::WithToken),
        ("ends_with_exchange", row.ends == Ends::WithExchange),
        (
            "ends_by_word",
            matches!(row.ends, Ends::AtOnce | Ends::Told(_)),
        ),
        ("uses_redis", !row.token || row.feed),
    ]
    .map(|(name, condition)| (name, is(condition)))
    .into()
}

/// A part that has nothing to do with a request.
fn nothing(id: &'static str, label: &'static str) -> Curve {
    Curve {
        id,
        label,
        table: Table::flat(0.0),
        told: false,
        source: Source::Assumed("by design: it is not asked".to_owned()),
    }
}

/// What a read of a session costs Redis, where no strategy was measured that makes one on each request.
fn unknown(id: &'static str, label: &'static str) -> Curve {
    let why = "nothing, and so too little: what a session costs Redis is not in the results";
    Curve {
        told: true,
        source: Source::Assumed(why.to_owned()),
        ..nothing(id, label)
    }
}

fn curves(own: &Measured<'_>, plain: Option<&Measured<'_>>, row: &Row) -> Vec<Curve> {
    let keeps = plain.is_none_or(|plain| plain.arm.name != own.arm.name);
    let label = match keeps {
        true => "processor time in the API, on a hit",
        false => "processor time in the API",
    };
    let mut curves = vec![
        measured(
            own,
            "gateway",
            "gateway_demand_us",
            "processor time in the gateway",
        ),
        measured(own, "api", "api_demand_us", label),
        api_on_miss(own, plain),
    ];
    curves.extend(redis(own, plain, row));
    curves.push(match row.asks {
        Asks::Auth => measured(own, "auth", "auth_demand_us", AUTH),
        _ => nothing("auth_demand_us", AUTH),
    });
    curves.push(exchange(own, row));
    if !keeps {
        // They are the same twice.
        for curve in &mut curves {
            curve.told &= !curve.id.ends_with("_on_miss");
        }
    }
    curves
}

const AUTH: &str = "processor time in the auth-service";

fn measured(of: &Measured<'_>, part: &str, id: &'static str, label: &'static str) -> Curve {
    Curve {
        id,
        label,
        // That it is there was looked at.
        table: of.curve(part).unwrap_or_else(|| Table::flat(f64::NAN)),
        told: true,
        source: of.source(part),
    }
}

fn api_on_miss(own: &Measured<'_>, plain: Option<&Measured<'_>>) -> Curve {
    const ID: &str = "api_demand_us_on_miss";
    const LABEL: &str = "processor time in the API, on a miss";
    let of = plain.unwrap_or(own);
    let mut curve = measured(of, "api", ID, LABEL);
    if plain.is_none() {
        curve.source = Source::Assumed(
            "as on a hit, and so too little: the strategy that keeps nothing is not in the results"
                .to_owned(),
        );
    }
    curve
}

/// An exchange reads the session, as the strategy that reads one on each request does.
fn exchange(own: &Measured<'_>, row: &Row) -> Curve {
    const ID: &str = "exchange_redis_us";
    const LABEL: &str = "processor time of an exchange in Redis";
    if row.asks != Asks::AuthOnMiss {
        return nothing(ID, LABEL);
    }
    let session = own.without_settings("session");
    let session = session.map(|arm| Measured { arm, ..*own });
    match session.filter(|session| session.curve("redis").is_some()) {
        Some(session) => measured(&session, "redis", ID, LABEL),
        None => unknown(ID, LABEL),
    }
}

fn redis(own: &Measured<'_>, plain: Option<&Measured<'_>>, row: &Row) -> [Curve; 2] {
    const HIT: &str = "redis_demand_us";
    const MISS: &str = "redis_demand_us_on_miss";
    const LABEL: &str = "processor time in Redis";
    match (row.asks, plain) {
        (Asks::Redis | Asks::Auth, _) => [
            measured(own, "redis", HIT, LABEL),
            measured(own, "redis", MISS, LABEL),
        ],
        (Asks::RedisOnMiss, Some(plain)) => [
            nothing(HIT, LABEL),
            measured(plain, "redis", MISS, "processor time in Redis, on a miss"),
        ],
        (Asks::RedisOnMiss, None) => [nothing(HIT, LABEL), unknown(MISS, LABEL)],
        _ => [nothing(HIT, LABEL), nothing(MISS, LABEL)],
    }
}

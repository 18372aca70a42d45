//! What the design predicts: one row a strategy, of what it needs and for how long it goes on without.
//! What a fault does to it follows from its row, and is compared with what was observed.
//!
//! The rows are from `docs/verdicts.md`, `docs/redis-loss.md` and the decisions that are named in them,
//! and were written before the first run. Where an observation moved one, the reason stands beside it.

mod compare;
mod rows;

use std::time::Duration;

use crate::{
    disturb::fault::{Fault, Kind, Target},
    subject::strategy::Strategy,
};
use rows::{Hold, Need, RECONNECTED, ROWS, Row, STARTED};

/// A time that the design bounds on both sides.
type Bounds = (Duration, Duration);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// In what system and for how long a fault was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) replicas: u32,
    /// How long the fault lasts.
    pub(super) fault: Duration,
    pub(super) slice: Duration,
    /// How long is watched after it.
    pub(super) watched: Duration,
    /// Life of a token by exchange.
    pub(super) exchange: Duration,
    /// Life of an access token, and how much longer it is accepted.
    pub(super) token: Duration,
    pub(super) leeway: Duration,
    /// Share of its life after which a client renews it.
    pub(super) refresh_at: f64,
    /// The longest that a client waits between two attempts to renew it.
    pub(super) pause: Duration,
}

/// What is expected of one cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    /// In words.
    pub(super) text: String,
    /// Bounds of the availability.
    pub(super) good: (f64, f64),
    /// Bounds of the round trips by which the median is later.
    trips: Option<(f64, f64)>,
    /// Decided again at the latest after.
    decided: Duration,
    /// Good again at the latest after; `None`: with a new login only.
    good_again: Option<Duration>,
}

/// What a fault does, before its effect on a strategy is known.
enum Effect {
    Broken,
    Silent,
    Slow,
}

/// How long a deadline for Redis is: what takes longer is as good as silent.
const REDIS_DEADLINE: Duration = ms(250);
/// How long the gateway goes on using a replica that says it is not ready: a health check every 500 ms,
/// whose answer may wait for a deadline.
const UNREADY_SEEN: Duration = ms(1_000);
/// How long a replica that hangs is used: two checks with a deadline of a second, 500 ms apart.
const HUNG_SEEN: Duration = ms(3_500);
/// What the edges of a fault and the machine may add.
const SLACK: f64 = 0.01;

/// What the design predicts; `None` for a strategy that has no row.
pub(super) fn expected(fault: &Fault, strategy: &str, at: &Circumstances) -> Option<Expected> {
    let base = Strategy::named(strategy)?.api_strategy();
    let row = ROWS.iter().find(|row| row.strategy == base)?;
    Some(match fault.target {
        Target::Replica => replica(fault, at),
        Target::ReplicaToRedis => partition(row, at),
        Target::Redis => part(fault, row, row.redis, row.back_with_redis, at),
        Target::Auth if fault.is_outlasting() => outlasting(fault, row, at),
        Target::Auth => part(fault, row, row.auth, row.back_with_auth, at),
        // The gateway's own way to it is open.
        Target::ApiToAuth => match row.auth {
            Need::Each { .. } => part(fault, row, row.auth, row.back_with_auth, at),
            _ => unaffected(),
        },
    })
}

fn unaffected() -> Expected {
    Expected {
        text: "unaffected".to_owned(),
        good: (1.0 - SLACK, 1.0),
        trips: None,
        decided: ms(0),
        good_again: Some(ms(0)),
    }
}

/// One of several replicas: what was not answered goes to another (retries, decision 2).
fn replica(fault: &Fault, at: &Circumstances) -> Expected {
    if fault.kind == Kind::Hung {
        // What it has got waits in vain; as it answers nothing, the balance by requests in flight gives
        // it hardly any more.
        let text = "a few requests lost until its health checks fail".to_owned();
        return Expected {
            text,
            good: (0.9, 1.0),
            decided: HUNG_SEEN,
            good_again: Some(HUNG_SEEN),
            ..unaffected()
        };
    }
    if at.replicas > 1 {
        return unaffected();
    }
    Expected {
        text: "503 (there is no other)".to_owned(),
        good: (0.0, SLACK + edge(at)),
        trips: None,
        decided: STARTED,
        good_again: Some(STARTED),
    }
}

/// One replica without Redis: it says that it is not ready, and the gateway turns to the others.
fn partition(row: &Row, at: &Circumstances) -> Expected {
    let begins = match row.redis {
        Need::Each {
            by_replica: true, ..
        } => (ms(0), ms(0)),
        Need::Kept {
            by_replica: true,
            silent,
            ..
        } => bounds(silent, at),
        _ => return unaffected(),
    };
    if begins.0 >= at.fault {
        return unaffected();
    }
    let bad = UNREADY_SEEN.min(at.fault - begins.0);
    let lost = bad.as_secs_f64() / at.fault.as_secs_f64() / f64::from(at.replicas.max(1));
    Expected {
        text: format!(
            "up to 1/{} is 503 for at most {} s{}",
            at.replicas,
            UNREADY_SEEN.as_secs_f64(),
            after(begins)
        ),
        good: (1.0 - lost - SLACK - edge(at), 1.0),
        trips: None,
        decided: RECONNECTED,
        good_again: Some(RECONNECTED),
    }
}

/// A part that all share.
fn part(fault: &Fault, row: &Row, need: Need, back: Duration, at: &Circumstances) -> Expected {
    let effect = match fault.kind {
        Kind::Killed | Kind::Refusing | Kind::RestartedEmpty { .. } | Kind::Outlasting { .. } => {
            Effect::Broken
        }
        Kind::Slow { delay } if delay * 2 < REDIS_DEADLINE => Effect::Slow,
        Kind::Slow { .. } | Kind::Hung | Kind::Partitioned => Effect::Silent,
    };
    let holds = match (need, &effect) {
        (Need::None, _) => {
            return Expected {
                trips: matches!(effect, Effect::Slow).then_some((0.0, 0.0)),
                ..unaffected()
            };
        }
        (need, Effect::Slow) => return slower(need),
        (Need::Each { .. }, _) => (ms(0), ms(0)),
        (Need::Kept { silent, .. }, Effect::Silent) => bounds(silent, at),
        (Need::Kept { broken, .. }, Effect::Broken) => bounds(broken, at),
    };
    let lost = fault.loses_sessions() && row.lost_with_redis;
    // With a restart at once only the loss lasts: what is kept is used on until it ends.
    let outage = match fault.kind {
        Kind::RestartedEmpty { down } => down,
        _ => at.fault,
    };
    if !lost && holds.0 >= outage {
        return Expected {
            text: format!("unaffected for {}", span(holds)),
            ..unaffected()
        };
    }
    let (low, high) = if lost || !matches!(fault.kind, Kind::RestartedEmpty { .. }) {
        (share(holds.0, at.fault), share(holds.1, at.fault))
    } else {
        (1.0 - share(outage + back, at.fault), 1.0)
    };
    let mut text = match holds {
        (_, latest) if latest <= ms(100) => "503".to_owned(),
        holds => format!("200 for {}, then 503", span(holds)),
    };
    if lost {
        text.push_str("; then 401: lost");
    }
    Expected {
        text,
        good: (
            (low - SLACK - edge(at)).max(0.0),
            (high + SLACK + edge(at)).min(1.0),
        ),
        trips: None,
        decided: back,
        good_again: (!lost).then_some(back),
    }
}

fn slower(need: Need) -> Expected {
    let trips = match need {
        Need::Each { trips, .. } => trips,
        _ => (0.0, 0.0),
    };
    let text = match trips {
        (_, 0.0) => "unaffected".to_owned(),
        (least, most) if least == most => format!("later by {most} round trip"),
        (least, most) => format!("later by {least} to {most} round trips"),
    };
    Expected {
        text,
        trips: Some(trips),
        // An answer that is under way when the delay is taken away is late still.
        decided: ms(200),
        good_again: Some(ms(200)),
        ..unaffected()
    }
}

/// The auth service is away for longer than a token lives, and clients renew their tokens.
fn outlasting(fault: &Fault, row: &Row, at: &Circumstances) -> Expected {
    // A client tries again after its pause; until it has a token that counts it is refused.
    let renewed = at.pause.mul_f64(1.5) + STARTED;
    let Some(hold) = row.credential else {
        return part(fault, row, row.auth, row.back_with_auth, at);
    };
    let (mut least, mut most) = bounds(hold, at);
    if let Need::Kept { broken, .. } = row.auth {
        let kept = bounds(broken, at);
        (least, most) = (least.min(kept.0), most.min(kept.1));
    }
    // Clients renew at different moments: their tokens end one after the other between the two.
    let middle = (least + most) / 2;
    Expected {
        text: format!(
            "200 until its token ends or what is known is too old, {} after; renewed when the issuer is back",
            span((least, most))
        ),
        good: (
            (share(least, at.fault) + share(middle, at.fault)) / 2.0 - edge(at),
            (share(most, at.fault) + share(middle, at.fault)) / 2.0 + edge(at),
        ),
        trips: None,
        decided: renewed,
        good_again: Some(renewed),
    }
}

fn bounds(hold: Hold, at: &Circumstances) -> Bounds {
    match hold {
        Hold::For(least, most) => (least, most),
        Hold::Exchanged => {
            let most = at.exchange.saturating_sub(ms(1_000));
            (most.mul_f64(0.2), most)
        }
        Hold::Token => {
            // Times in tokens are whole seconds, cut off at both ends.
            let most = at.token + at.leeway;
            let least = most.saturating_sub(at.token.mul_f64(at.refresh_at) + ms(1_000));
            (least, most + ms(1_000))
        }
    }
}

/// Slices that the begin and the end of a fault cut in two, as a share of it.
fn edge(at: &Circumstances) -> f64 {
    share(at.slice, at.fault)
}

fn share(part: Duration, whole: Duration) -> f64 {
    (part.as_secs_f64() / whole.as_secs_f64().max(1e-9)).min(1.0)
}

fn span((least, most): Bounds) -> String {
    let seconds = |one: Duration| format!("{}", (one.as_secs_f64() * 10.0).round() / 10.0);
    if least == most {
        format!("{} s", seconds(least))
    } else {
        format!("{} to {} s", seconds(least), seconds(most))
    }
}

fn after(begins: Bounds) -> String {
    if begins.1.is_zero() {
        String::new()
    } else {
        format!(", after {}", span(begins))
    }
}

#[cfg(test)]
mod tests;

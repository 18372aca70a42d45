//! What one login, one renewal and one session take: measured with the counters of the system, without
//! other load, for the capacity model.

use super::CompareError;
use crate::{
    results::{Estimate, UnitCosts},
    stats::{effect::CONFIDENCE, interval},
    subject::{
        found::Subject,
        login::{LoggedIn, Users},
        strategy::Credential,
        usage::Reading,
    },
};

/// Independent rounds, whose spread is the interval.
const ROUNDS: u32 = 5;
/// Logins of each kind in a round.
const LOGINS: u32 = 8;
/// Renewals, or exchanges, of each login in a round, one after the other.
const RENEWALS: u32 = 10;

/// Of one round.
struct Round {
    session_bytes: Option<f64>,
    login_us: f64,
    renewal_us: Option<f64>,
    exchange_us: Option<f64>,
}

/// Measures in a system that was started here. `cheap` says that passwords are hashed with next to no work.
pub(super) fn measure(subject: &mut Subject, cheap: bool) -> Result<UnitCosts, CompareError> {
    let mut rounds = Vec::new();
    let mut key_set = None;
    for _ in 0..ROUNDS {
        // Users of its own: each has one session, and so an index for it.
        let users = Users::register(&subject.gateway, LOGINS as usize)?;
        rounds.push(round(subject, &users)?);
        key_set = estimate(&[users.key_set()?.len() as f64]);
    }
    let of = |value: fn(&Round) -> Option<f64>| -> Option<Estimate> {
        let values: Option<Vec<f64>> = rounds.iter().map(value).collect();
        estimate(&values?)
    };
    Ok(UnitCosts {
        logins: ROUNDS * LOGINS,
        renewals: ROUNDS * LOGINS * RENEWALS,
        session_bytes: of(|round| round.session_bytes),
        login_cpu_us: of(|round| Some(round.login_us)).filter(|_| !cheap),
        renewal_cpu_us: of(|round| round.renewal_us),
        exchange_cpu_us: of(|round| round.exchange_us),
        key_set_bytes: key_set,
    })
}

fn round(subject: &mut Subject, users: &Users) -> Result<Round, CompareError> {
    let logins = f64::from(LOGINS);
    let before = subject.meter.read()?;
    let token_logins = users.log_in_times(LOGINS as usize, Credential::Token)?;
    let login_us = auth_us(subject, &before)? / logins;

    let before = subject.meter.read()?;
    let mut all = true;
    for login in token_logins {
        all &= renewed(users, login)?;
    }
    let renewal_us = auth_us(subject, &before)? / (logins * f64::from(RENEWALS));

    let keys = subject.meter.redis_keys()?;
    let sessions = users.log_in_times(LOGINS as usize, Credential::Session)?;
    let session_bytes = match (keys, subject.meter.redis_keys()?) {
        (Some(before), Some(after)) => {
            let made = after.difference(&before);
            Some(subject.meter.redis_memory_of(made)? as f64 / logins)
        }
        _ => None,
    };
    Ok(Round {
        session_bytes,
        login_us,
        renewal_us: all.then_some(renewal_us),
        exchange_us: exchange_us(subject, users, &sessions)?,
    })
}

/// As the gateway asks for it; nothing where nobody may.
fn exchange_us(
    subject: &mut Subject,
    users: &Users,
    sessions: &[LoggedIn],
) -> Result<Option<f64>, CompareError> {
    let clients = subject.stack.iter().flat_map(|stack| &stack.clients);
    let mut allowed =
        clients.filter(|client| client.rights.iter().any(|right| right == "exchange"));
    let Some(client) = allowed.next().cloned() else {
        return Ok(None);
    };
    let before = subject.meter.read()?;
    for session in sessions {
        for _ in 0..RENEWALS {
            users.exchange(&session.credential, &client)?;
        }
    }
    let exchanges = sessions.len() as f64 * f64::from(RENEWALS);
    Ok(Some(auth_us(subject, &before)? / exchanges))
}

/// Whether it could be renewed each time.
fn renewed(users: &Users, mut login: LoggedIn) -> Result<bool, CompareError> {
    for _ in 0..RENEWALS {
        let Some(token) = login.refresh_token else {
            return Ok(false);
        };
        login = users.renew(&token)?;
    }
    Ok(true)
}

/// Processor time of the auth-service since a reading, in µs.
fn auth_us(subject: &mut Subject, before: &Reading) -> Result<f64, CompareError> {
    let used = subject.meter.read()?.since(before);
    Ok(used.cpu_seconds.get("auth").copied().unwrap_or_default() * 1e6)
}

fn estimate(values: &[f64]) -> Option<Estimate> {
    let found = interval::arithmetic_mean(values, CONFIDENCE)?;
    Some(Estimate {
        value: found.value,
        low: Some(found.low.max(0.0)),
        high: Some(found.high),
        supported: true,
    })
}

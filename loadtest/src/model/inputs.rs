//! What is asked: the rate, the distance, the users, and what must hold.

use std::collections::BTreeMap;

use serde::Serialize;

use super::format::Unit;

/// One thing that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Input {
    /// Its name in formulas.
    pub id: &'static str,
    /// As a label of a control.
    pub label: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// The option of `loadtest capacity`, without its dashes.
    pub option: &'static str,
    /// What the option has behind its number.
    pub suffix: &'static str,
    /// Where nothing is asked.
    pub default: f64,
    /// The smallest value that makes sense.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// What 0 stands for, where it is no number.
    pub zero: Option<&'static str>,
    /// The values that a slider goes through, ascending; nothing where a switch does.
    pub stops: &'static [f64],
    /// Most readers leave it as it is.
    pub further: bool,
}

const fn input(
    (id, option, suffix): (&'static str, &'static str, &'static str),
    label: &'static str,
    unit: Unit,
    (default, min, max): (f64, f64, f64),
    stops: &'static [f64],
    help: &'static str,
) -> Input {
    Input {
        id,
        label,
        help,
        unit,
        option,
        suffix,
        default,
        min,
        max,
        zero: None,
        stops,
        further: false,
    }
}

impl Input {
    const fn zero(mut self, meaning: &'static str) -> Self {
        self.zero = Some(meaning);
        self
    }

    const fn further(mut self) -> Self {
        self.further = true;
        self
    }

    /// A value for a reader; what 0 stands for in words.
    #[must_use]
    pub fn written(&self, value: f64) -> String {
        match self.zero {
            Some(meaning) if value == 0.0 => meaning.to_owned(),
            _ => super::written(value, self.unit),
        }
    }
}

/// Numbers of people and requests, in steps that are seen.
const COUNTS: &[f64] = &[
    1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8,
];

/// Everything that can be asked, in the order of controls.
pub const INPUTS: &[Input] = &[
    input(
        ("rate", "rate", ""),
        "Requests",
        Unit::PerSecond,
        (100_000.0, 1.0, 1e9),
        COUNTS,
        "Requests per second that present a credential, at the peak that is planned for.",
    ),
    input(
        ("active_users", "active-users", ""),
        "Active users",
        Unit::Count,
        (1_000_000.0, 1.0, 1e10),
        COUNTS,
        "Logins that are alive at the same time: each holds a session, or a token that is renewed.",
    ),
    input(
        ("rtt_ms", "rtt", ""),
        "Round trip to Redis",
        Unit::Milliseconds,
        (0.5, 0.0, 10_000.0),
        &[
            0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 120.0,
        ],
        "From a replica of the API to Redis, or to the auth-service, and back.",
    ),
    input(
        ("token_life", "token-life", "s"),
        "Life of a token",
        Unit::Seconds,
        (900.0, 1.0, 2_592_000.0),
        &[
            5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0,
            86_400.0,
        ],
        "How long an access token is good for (AUTH_ACCESS_TOKEN_TTL).",
    ),
    input(
        ("logout_within", "logout-within", "s"),
        "Logout seen within",
        Unit::Seconds,
        (0.0, 0.0, 2_592_000.0),
        &[
            0.0, 0.1, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
        ],
        "How long after a logout or a ban the old credential may still be accepted, at most.",
    )
    .zero("any time"),
    input(
        ("replicas", "replicas", ""),
        "Replicas of the API",
        Unit::Count,
        (0.0, 0.0, 100_000.0),
        &[
            0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0,
        ],
        "API processes of one core each.",
    )
    .zero("as needed"),
    input(
        ("must_answer", "without-redis", ""),
        "Must answer without Redis",
        Unit::Count,
        (0.0, 0.0, 1.0),
        &[],
        "Leaves out what answers less than 99 % of the requests while Redis is gone.",
    )
    .zero("no"),
    input(
        ("utilisation", "utilisation", ""),
        "Busy at most",
        Unit::Share,
        (0.6, 0.05, 1.0),
        &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "Share of its core that a process is planned to be busy at the peak; the rest is for bursts, \
         failures and rolling restarts.",
    )
    .further(),
    input(
        ("cache_entries", "cache-entries", ""),
        "Entries of a cache",
        Unit::Count,
        (10_000.0, 1.0, 1e9),
        COUNTS,
        "Sessions, or verified tokens, that a thread of the API keeps (API_SESSION_CACHE, \
         API_REMEMBERED_TOKENS), and exchanged tokens that a gateway keeps (GATEWAY_EXCHANGE_CACHE).",
    )
    .further(),
    input(
        ("login_every", "login-every", "s"),
        "A user logs in every",
        Unit::Seconds,
        (43_200.0, 60.0, 31_536_000.0),
        &[
            900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 604_800.0, 2_592_000.0,
        ],
        "How long a login lasts (AUTH_SESSION_ABSOLUTE_TTL, AUTH_REFRESH_TOKEN_TTL): each costs a password \
         hash.",
    )
    .further(),
    input(
        ("shard_memory", "shard-memory", ""),
        "Memory of a Redis shard",
        Unit::Bytes,
        (16e9, 1e6, 1e13),
        &[1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 64e9, 128e9],
        "What a shard may fill with data; what copies on write and replication need is beside it.",
    )
    .further(),
    input(
        ("shard_network", "shard-network", ""),
        "Network of a Redis shard",
        Unit::BitsPerSecond,
        (5e9, 1e6, 1e13),
        &[1e8, 5e8, 1e9, 2e9, 5e9, 1e10, 2.5e10, 1e11],
        "In and out together; half of a link of 10 Gbit/s.",
    )
    .further(),
];

/// What is asked, by the name of its input.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Asked(BTreeMap<&'static str, f64>);

impl Default for Asked {
    fn default() -> Self {
        Self(
            INPUTS
                .iter()
                .map(|input| (input.id, input.default))
                .collect(),
        )
    }
}

impl Asked {
    /// The same with another value of one input. A name that is none changes nothing.
    #[must_use]
    pub fn with(mut self, id: &str, value: f64) -> Self {
        if let Some(found) = self.0.get_mut(id) {
            *found = value;
        }
        self
    }

    /// The value of an input.
    #[must_use]
    pub fn of(&self, id: &str) -> f64 {
        self.0.get(id).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.0.iter().map(|(id, value)| (*id, *value))
    }
}

/// Reads a number as people write large ones: `100k`, `1.5M`, `2G`.
///
/// # Errors
///
/// It is none, or not above 0.
pub fn parse_count(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (digits, scale) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    match digits.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number * scale),
        _ => Err("a number above 0 such as 2500, 100k, 1.5M or 2G is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_read_as_people_write_them() {
        for (text, number) in [("100k", 1e5), ("1.5M", 1.5e6), ("2G", 2e9), ("42", 42.0)] {
            assert_eq!(parse_count(text), Ok(number));
        }
        for text in ["", "k", "0", "-1k", "1T", "inf", "1e400"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_default_lies_within_its_bounds_and_every_name_is_there_once() {
        for input in INPUTS {
            assert!(
                (input.min..=input.max).contains(&input.default),
                "{}",
                input.id
            );
            assert_eq!(INPUTS.iter().filter(|one| one.id == input.id).count(), 1);
            assert_eq!(Asked::default().with(input.id, 3.0).of(input.id), 3.0);
        }
    }
}

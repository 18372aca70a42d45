//! What each strategy answers, by fault: the expectations of the suite and the text of
//! `docs/verdicts.md`.

use std::{fmt::Write as _, time::Duration};

use Expected::{Always, Until};
use Verdict::{Ambiguous, Forbidden, Invalid, Missing, Undecided, Valid};

/// All strategies, in the order of the columns.
pub(crate) const STRATEGIES: [&str; 6] = [
    "jwt",
    "session",
    "session-cached",
    "jwt-revocable",
    "introspection",
    "phantom",
];

/// What an answer says of the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 200 and the right principal.
    Valid,
    /// 401 without an error code, RFC 6750 §3.1.
    Missing,
    /// 401 `invalid_token`.
    Invalid,
    /// 400 `invalid_request`.
    Ambiguous,
    /// 403 `insufficient_scope`.
    Forbidden,
    /// 503 and `Retry-After`.
    Undecided,
}

impl Verdict {
    /// What an answer must look like: status, and what its challenge must contain.
    pub(crate) fn form(self) -> (u16, &'static str) {
        match self {
            Valid => (200, ""),
            Missing => (401, "Bearer"),
            Invalid => (401, "error=\"invalid_token\""),
            Ambiguous => (400, "error=\"invalid_request\""),
            Forbidden => (403, "error=\"insufficient_scope\""),
            Undecided => (503, ""),
        }
    }
}

/// How long a first verdict may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Until what was ended is pushed to the replica.
    Pushed,
    /// Until the feed counts as stale.
    FeedAge,
    /// Until the token that the gateway has exchanged ends.
    Exchanged,
    /// Until the replica's connection is found to be dead.
    Connection,
}

/// `AUTH_EXCHANGE_TTL` of the suite.
pub(crate) const EXCHANGE_TTL: Duration = Duration::from_secs(3);
/// `API_REVOCATION_MAX_AGE` of the suite.
pub(crate) const FEED_MAX_AGE: Duration = Duration::from_secs(2);

impl Bound {
    /// The longest in the suite, with room for a busy machine.
    pub(crate) fn longest(self) -> Duration {
        match self {
            Self::Pushed => Duration::from_secs(2),
            Self::FeedAge => FEED_MAX_AGE + Duration::from_secs(2),
            Self::Exchanged => EXCHANGE_TTL + Duration::from_secs(2),
            Self::Connection => Duration::from_secs(3),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Pushed => "until the push arrives (milliseconds)",
            Self::FeedAge => "up to `API_REVOCATION_MAX_AGE`",
            Self::Exchanged => "up to `AUTH_EXCHANGE_TTL`",
            Self::Connection => "until the connection is found dead (a second)",
        }
    }
}

/// What is expected of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This from the first request on.
    Always(Verdict),
    /// The first one at most for a while, then the second for good.
    Until(Verdict, Bound, Verdict),
}

/// What is done to the credential or to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Missing,
    Malformed,
    TwoAuthorizations,
    Forged,
    OtherKind,
    SessionCookie,
    StrayBesides,
    NotAllowed,
    Expired,
    LoggedOut,
    RedisDownWarm,
    RedisDownCold,
    RedisHungWarm,
    RedisHungCold,
    AuthDownWarm,
    AuthDownCold,
    KeysMissing,
    FeedStale,
    FeedUnwritten,
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) fault: Fault,
    what: &'static str,
    /// By strategy.
    expected: [Expected; 6],
}

const OK: Expected = Always(Valid);
const NO: Expected = Always(Invalid);
const UNKNOWN: Expected = Always(Undecided);
/// What the gateway has exchanged lasts, and then cannot be renewed.
const EXCHANGED: Expected = Until(Valid, Bound::Exchanged, Undecided);
const STALE: Expected = Until(Valid, Bound::FeedAge, Undecided);

/// Columns: jwt, session, session-cached, jwt-revocable, introspection, phantom.
pub(crate) const TABLE: [Row; 20] = [
    Row {
        fault: Fault::None,
        what: "valid",
        expected: [OK; 6],
    },
    Row {
        fault: Fault::Missing,
        what: "no credential",
        expected: [Always(Missing); 6],
    },
    Row {
        fault: Fault::Malformed,
        what: "malformed",
        expected: [NO; 6],
    },
    Row {
        fault: Fault::TwoAuthorizations,
        what: "two `Authorization` headers, each valid",
        expected: [Always(Ambiguous); 6],
    },
    Row {
        fault: Fault::Forged,
        what: "forged: another signature, an id that nobody issued",
        expected: [NO; 6],
    },
    Row {
        fault: Fault::OtherKind,
        what: "the other kind alone: a session id for a token, a token for a session id",
        // The authorization server knows both kinds.
        expected: [NO, NO, NO, NO, OK, NO],
    },
    Row {
        fault: Fault::SessionCookie,
        what: "a session cookie alone",
        expected: [Always(Missing), OK, OK, Always(Missing), OK, OK],
    },
    Row {
        fault: Fault::StrayBesides,
        what: "valid, with a valid one of the other kind beside it",
        expected: [OK; 6],
    },
    Row {
        fault: Fault::NotAllowed,
        what: "valid, without the role",
        expected: [Always(Forbidden); 6],
    },
    Row {
        fault: Fault::Expired,
        what: "expired",
        expected: [NO; 6],
    },
    Row {
        fault: Fault::LoggedOut,
        what: "logged out",
        expected: [
            OK,
            NO,
            Until(Valid, Bound::Pushed, Invalid),
            Until(Valid, Bound::Pushed, Invalid),
            NO,
            Until(Valid, Bound::Exchanged, Invalid),
        ],
    },
    Row {
        fault: Fault::RedisDownWarm,
        what: "Redis down, used before",
        expected: [
            OK,
            UNKNOWN,
            Until(Valid, Bound::Connection, Undecided),
            STALE,
            UNKNOWN,
            EXCHANGED,
        ],
    },
    Row {
        fault: Fault::RedisDownCold,
        what: "Redis down, not used before",
        expected: [OK, UNKNOWN, UNKNOWN, STALE, UNKNOWN, UNKNOWN],
    },
    Row {
        fault: Fault::RedisHungWarm,
        what: "Redis hung, used before",
        expected: [
            OK,
            UNKNOWN,
            Until(Valid, Bound::Connection, Undecided),
            STALE,
            UNKNOWN,
            EXCHANGED,
        ],
    },
    Row {
        fault: Fault::RedisHungCold,
        what: "Redis hung, not used before",
        expected: [OK, UNKNOWN, UNKNOWN, STALE, UNKNOWN, UNKNOWN],
    },
    Row {
        fault: Fault::AuthDownWarm,
        what: "auth-service down, used before",
        expected: [OK, OK, OK, STALE, UNKNOWN, EXCHANGED],
    },
    Row {
        fault: Fault::AuthDownCold,
        what: "auth-service down, not used before",
        expected: [OK, OK, OK, STALE, UNKNOWN, UNKNOWN],
    },
    Row {
        fault: Fault::KeysMissing,
        what: "a replica that started while the auth-service was down",
        expected: [UNKNOWN, OK, OK, UNKNOWN, UNKNOWN, UNKNOWN],
    },
    Row {
        fault: Fault::FeedStale,
        what: "the revocation feed cannot be read, Redis is fine otherwise",
        expected: [OK, OK, OK, STALE, OK, OK],
    },
    Row {
        fault: Fault::FeedUnwritten,
        what: "Redis takes no writes and answers reads",
        expected: [OK, OK, OK, STALE, OK, OK],
    },
];

/// What is expected of a strategy in a fault.
pub(crate) fn expected(fault: Fault, strategy: &str) -> Expected {
    let row = TABLE.iter().find(|row| row.fault == fault);
    let column = STRATEGIES.iter().position(|known| *known == strategy);
    let (row, column) = row.zip(column).expect("the table has every pair");
    row.expected[column]
}

/// The document.
pub(crate) fn document() -> String {
    let mut text = String::from(
        "# Verdicts by strategy and fault\n\n\
         Made from the table that `system-tests/tests/conformance` runs against all six strategies over real processes\n\
         (`make verdicts` writes it anew; the suite fails when it differs). `GET /me` (for a missing role, `GET /admin`) with\n\
         the strategy's own kind of credential. One replica each, no stale serving, policy `refuse` for a stale feed. What `jwt`\n\
         answers after a logout it answers until the token expires (`AUTH_ACCESS_TOKEN_TTL`).\n\n",
    );
    let _ = writeln!(text, "| the credential | {} |", STRATEGIES.join(" | "));
    let _ = writeln!(text, "| --- |{}", " --- |".repeat(STRATEGIES.len()));
    for row in &TABLE {
        let cells: Vec<String> = row.expected.iter().copied().map(cell).collect();
        let _ = writeln!(text, "| {} | {} |", row.what, cells.join(" | "));
    }
    text.push_str(
        "\nHolds in every cell, and is checked on every answer: 401 is never given for what cannot be decided; 503 comes\n\
         with `Retry-After` and without a challenge; no answer of the API sets or deletes a cookie; `GET /public` is 200\n\
         whatever is presented and whatever is down, as long as a replica runs.\n",
    );
    text
}

fn cell(expected: Expected) -> String {
    let status = |verdict: Verdict| verdict.form().0;
    match expected {
        Always(verdict) => status(verdict).to_string(),
        Until(first, bound, then) => {
            format!("{} {}, then {}", status(first), bound.text(), status(then))
        }
    }
}

//! What was seen while the primary was replaced.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::Login;

/// When a request was sent, and the status of its answer.
pub(crate) type Seen = Vec<(Instant, u16)>;

/// Everything that was seen of one fault.
pub(crate) struct Observed {
    /// When the fault began.
    pub(crate) began: Instant,
    /// From then until the sentinels named another primary.
    pub(crate) replaced: Duration,
    /// By strategy, of credentials that are good.
    pub(crate) good: Vec<(&'static str, Seen)>,
    /// Of a session that was ended before, at all strategies that look sessions up.
    pub(crate) ended: Seen,
    /// When a token was revoked, after the fault began.
    pub(crate) revoked_at: Instant,
    /// Of that token, at jwt-revocable.
    pub(crate) revoked: Seen,
    /// All logins.
    pub(crate) logins: Vec<Login>,
}

impl Observed {
    /// A table for people.
    pub(crate) fn table(&self, what: &str) -> String {
        let mut text = format!(
            "{what}: replaced after {:.2} s\n  {:<15}{:>10}{:>10}{:>12}{:>12}\n",
            self.replaced.as_secs_f64(),
            "",
            "requests",
            "failed",
            "first at",
            "last at"
        );
        let logins: Seen = self.logins.iter().map(|one| (one.at, one.status)).collect();
        let rows = self.good.iter().map(|(name, seen)| (*name, seen));
        for (name, seen) in rows.chain([("session login", &logins)]) {
            let failed: Vec<_> = seen.iter().filter(|(_, status)| *status != 200).collect();
            let at = |seen: Option<&&(Instant, u16)>| match seen {
                Some((at, _)) => {
                    let at = at.saturating_duration_since(self.began);
                    format!("{:.2} s", at.as_secs_f64())
                }
                None => "-".to_owned(),
            };
            let (first, last) = (at(failed.first()), at(failed.last()));
            let (all, failed) = (seen.len(), failed.len());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {name:<15}{all:>10}{failed:>10}{first:>12}{last:>12}"
            );
        }
        let accepted = self
            .revoked
            .iter()
            .filter(|(at, status)| *status == 200 && *at > self.revoked_at);
        let last = accepted.map(|(at, _)| *at - self.revoked_at).max();
        let _ = writeln!(
            text,
            "  a token revoked then is accepted for {:.2} s; an ended session {} times",
            last.unwrap_or_default().as_secs_f64(),
            self.ended
                .iter()
                .filter(|(_, status)| *status == 200)
                .count()
        );
        let mut statuses = BTreeMap::new();
        for (_, status) in self.good.iter().flat_map(|(_, seen)| seen) {
            *statuses.entry(*status).or_insert(0) += 1;
        }
        let _ = writeln!(text, "  by status: {statuses:?}");
        text
    }
}

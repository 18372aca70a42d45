//! What was observed, held against what was predicted.

use std::time::Duration;

use super::{Circumstances, Expected};
use crate::results::coupling::{Cell, Interval, Repetition};

/// How far the observed round trips may be from the predicted ones.
const TRIPS_SLACK: f64 = 0.35;

impl Expected {
    /// Everything that was observed and not predicted, in words with figures.
    pub(super) fn surprises(
        &self,
        availability: &Interval,
        trips: Option<&Interval>,
        repetitions: &[Repetition],
        at: &Circumstances,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        if availability.mean < self.good.0 || availability.mean > self.good.1 {
            found.push(format!(
                "{} available in place of {} to {}",
                percent(availability.mean),
                percent(self.good.0),
                percent(self.good.1)
            ));
        }
        let refused: u64 = repetitions
            .iter()
            .map(|one| one.unauthorized_in_fault)
            .sum();
        if refused > 0 {
            found.push(format!("{refused} × 401 while nobody could know"));
        }
        if let (Some((least, most)), Some(trips)) = (self.trips, trips)
            && !((least - TRIPS_SLACK)..=(most + TRIPS_SLACK)).contains(&trips.mean)
        {
            found.push(format!(
                "later by {:.2} round trips in place of {least} to {most}",
                trips.mean
            ));
        }
        let late = |times: &dyn Fn(&Repetition) -> Option<u64>, limit: Duration, what: &str| {
            // A slice is good as a whole or not, and begins up to one before the moment that counts.
            let limit = limit + at.slice * 2;
            let worst = repetitions
                .iter()
                .map(|one| times(one).unwrap_or(u64::MAX))
                .max()?;
            // What may take longer than was watched is not missed.
            if limit >= at.watched && worst == u64::MAX {
                return None;
            }
            (worst > u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)).then(|| match worst {
                u64::MAX => format!("not {what} again while it was watched"),
                worst => format!(
                    "{what} again after {worst} ms in place of {} ms at most",
                    limit.as_millis()
                ),
            })
        };
        found.extend(late(&|one| one.decided_ms, self.decided, "decided"));
        if let Some(limit) = self.good_again {
            found.extend(late(&|one| one.good_ms, limit, "good"));
        }
        found
    }

    /// Writes what was predicted, and whether it was so, into a cell.
    pub(in crate::experiment::coupling) fn judge(&self, cell: &mut Cell, at: &Circumstances) {
        self.text.clone_into(&mut cell.predicted);
        (cell.predicted_low, cell.predicted_high) = self.good;
        // What is not answered is not later.
        cell.round_trips = cell.round_trips.filter(|_| self.trips.is_some());
        cell.surprises = self.surprises(
            &cell.availability,
            cell.round_trips.as_ref(),
            &cell.repetitions,
            at,
        );
        cell.as_predicted = cell.surprises.is_empty();
    }
}

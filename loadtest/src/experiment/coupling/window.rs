//! What a timeline of answers says of a fault: how much was good in it, when that fell, and when it
//! came back. Pure.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{
    load::{Outcome, Slice},
    results::{self, ErrorCount, coupling::Repetition},
};

/// At least this share of requests must be well for a slice to be.
const WELL: f64 = 0.95;
/// Below this share a strategy has fallen.
const FALLEN: f64 = 0.5;

/// When the fault was, on the timeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// From here on something is missing.
    pub(super) began: Duration,
    /// From here on nothing is missing any more, but perhaps lost.
    pub(super) restored: Duration,
    /// The end of what is called "in the fault".
    pub(super) ended: Duration,
    /// Length of a slice.
    pub(super) slice: Duration,
}

impl Window {
    /// A slice belongs where its middle is: the edges of the fault lie microseconds beside those of
    /// slices, and never exactly on them.
    fn middle(&self, slice: &Slice) -> Duration {
        slice.at + self.slice / 2
    }

    fn between<'a>(
        &'a self,
        timeline: &'a [Slice],
        from: Duration,
        until: Duration,
    ) -> impl DoubleEndedIterator<Item = &'a Slice> {
        let within = move |slice: &&Slice| (from..until).contains(&self.middle(slice));
        timeline.iter().filter(within)
    }

    fn before<'a>(&'a self, timeline: &'a [Slice]) -> impl DoubleEndedIterator<Item = &'a Slice> {
        self.between(timeline, Duration::ZERO, self.began)
    }

    fn during<'a>(&'a self, timeline: &'a [Slice]) -> impl DoubleEndedIterator<Item = &'a Slice> {
        self.between(timeline, self.began, self.ended)
    }

    fn after<'a>(&'a self, timeline: &'a [Slice]) -> impl DoubleEndedIterator<Item = &'a Slice> {
        self.between(timeline, self.restored, Duration::MAX)
    }

    /// The slices of which every request was meant to be sent, and answered, while something was
    /// missing: an answer that came later may know better.
    fn missing<'a>(&'a self, timeline: &'a [Slice]) -> impl Iterator<Item = &'a Slice> {
        let within = |slice: &&Slice| {
            let slowest = Duration::from_micros(slice.response_us.max());
            slice.at >= self.began && slice.at + self.slice + slowest <= self.restored
        };
        timeline.iter().filter(within)
    }

    /// Whether all was well before the fault: what follows is the fault's only then.
    pub(super) fn began_well(&self, timeline: &[Slice]) -> bool {
        let sum = |count: fn(&Slice) -> u64| self.before(timeline).map(count).sum();
        share(sum(Slice::good), sum(Slice::offered)) >= WELL
    }

    /// Everything of one strategy. `place` is that of the fault among all.
    pub(super) fn repetition(&self, timeline: &[Slice], place: u32) -> Repetition {
        let p = |share| move |slices| quantile(slices, share);
        Repetition {
            place,
            began_ms: millis(self.began),
            restored_ms: millis(self.restored),
            ended_ms: millis(self.ended),
            offered_in_fault: self.during(timeline).map(Slice::offered).sum(),
            good_in_fault: self.during(timeline).map(Slice::good).sum(),
            unauthorized_in_fault: unauthorized(self.missing(timeline)),
            unauthorized_after: unauthorized(self.after(timeline)),
            errors_in_fault: errors(self.during(timeline)),
            p50_before_us: p(0.5)(&mut self.before(timeline)),
            p50_in_fault_us: p(0.5)(&mut self.during(timeline)),
            p99_before_us: p(0.99)(&mut self.before(timeline)),
            p99_in_fault_us: p(0.99)(&mut self.during(timeline)),
            logins_lost: 0,
            decided_ms: self.recovered(timeline, decided),
            good_ms: self.recovered(timeline, Slice::good),
            falls_ms: self.falls(timeline),
        }
    }

    /// From the restoration to the begin of the slices that are all well, to the last one.
    fn recovered(&self, timeline: &[Slice], well: fn(&Slice) -> u64) -> Option<u64> {
        let well_from = self
            .after(timeline)
            .rev()
            .take_while(|slice| share(well(slice), slice.offered()) >= WELL)
            .last()?;
        let first = self.after(timeline).next()?;
        if well_from.at == first.at {
            return Some(0);
        }
        Some(millis(well_from.at.saturating_sub(self.restored)))
    }

    /// From the begin of the fault to the first slice in it of which less than half was good.
    fn falls(&self, timeline: &[Slice]) -> Option<u64> {
        let fallen = self
            .during(timeline)
            .find(|slice| share(slice.good(), slice.offered()) < FALLEN)?;
        Some(millis(fallen.at.saturating_sub(self.began)))
    }
}

/// Answered with anything that is not the system's own failure.
fn decided(slice: &Slice) -> u64 {
    let is_decided = |outcome: &Outcome| matches!(outcome, Outcome::Status(..=499));
    let matching = slice
        .outcomes
        .iter()
        .filter(|(outcome, _)| is_decided(outcome));
    matching.map(|(_, count)| count).sum()
}

fn unauthorized<'a>(slices: impl Iterator<Item = &'a Slice>) -> u64 {
    slices
        .filter_map(|slice| slice.outcomes.get(&Outcome::Status(401)))
        .sum()
}

fn errors<'a>(slices: impl Iterator<Item = &'a Slice>) -> Vec<ErrorCount> {
    let mut counts = std::collections::BTreeMap::<Outcome, u64>::new();
    for (outcome, count) in slices.flat_map(|slice| &slice.outcomes) {
        if !outcome.is_good() {
            *counts.entry(*outcome).or_default() += count;
        }
    }
    let told = counts.into_iter().map(|(outcome, count)| ErrorCount {
        kind: outcome.to_string(),
        count,
    });
    told.collect()
}

/// Over all answers, whatever their status; `None` when there were none.
fn quantile(slices: &mut dyn DoubleEndedIterator<Item = &Slice>, share: f64) -> Option<f64> {
    let mut all: Option<Histogram<u32>> = None;
    for slice in slices {
        match &mut all {
            None => all = Some(slice.response_us.clone()),
            Some(all) => all.add(&slice.response_us).ok()?,
        }
    }
    let all = all.filter(|all| !all.is_empty())?;
    u32::try_from(all.value_at_quantile(share))
        .ok()
        .map(f64::from)
}

/// All of nothing is everything.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    part as f64 / whole as f64
}

pub(super) fn told(slice: &Slice) -> results::Slice {
    results::Slice {
        at_ms: millis(slice.at),
        answers: slice
            .outcomes
            .iter()
            .map(|(outcome, count)| (outcome.to_string(), *count))
            .collect(),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(index: u32, outcomes: &[(Outcome, u64)]) -> Slice {
        Slice {
            at: Duration::from_millis(100) * index,
            outcomes: outcomes.iter().copied().collect(),
            response_us: Histogram::new(2).unwrap(),
        }
    }

    fn of(statuses: &[u16]) -> Vec<Slice> {
        let statuses = statuses.iter().zip(0..);
        statuses
            .map(|(status, index)| slice(index, &[(Outcome::Status(*status), 100)]))
            .collect()
    }

    const WINDOW: Window = Window {
        began: Duration::from_micros(200_300),
        restored: Duration::from_micros(400_900),
        ended: Duration::from_micros(400_900),
        slice: Duration::from_millis(100),
    };

    #[test]
    fn the_fault_window_holds_the_slices_whose_middle_is_in_it() {
        let timeline = of(&[200; 8]);
        let at = |slices: Vec<&Slice>| -> Vec<u64> {
            slices.into_iter().map(|slice| millis(slice.at)).collect()
        };
        assert_eq!(at(WINDOW.before(&timeline).collect()), [0, 100]);
        assert_eq!(at(WINDOW.during(&timeline).collect()), [200, 300]);
        assert_eq!(at(WINDOW.after(&timeline).collect()), [400, 500, 600, 700]);
        // The first slice of the fault began before it.
        assert_eq!(at(WINDOW.missing(&timeline).collect()), [300]);
    }

    #[test]
    fn a_lost_session_is_decided_before_it_is_good_again() {
        let found = WINDOW.repetition(&of(&[200, 200, 503, 503, 503, 401, 401, 200]), 0);
        assert_eq!((found.decided_ms, found.good_ms), (Some(99), Some(299)));
        assert_eq!((found.offered_in_fault, found.good_in_fault), (200, 0));
        assert_eq!(found.falls_ms, Some(0));
        assert_eq!(
            (found.unauthorized_in_fault, found.unauthorized_after),
            (0, 200)
        );
    }

    #[test]
    fn a_relapse_at_the_end_is_no_recovery() {
        let found = WINDOW.repetition(&of(&[200, 200, 503, 503, 200, 200, 503]), 0);
        assert_eq!((found.decided_ms, found.good_ms), (None, None));
    }

    #[test]
    fn a_fault_that_meets_trouble_is_told_from_one_that_makes_it() {
        assert!(WINDOW.began_well(&of(&[200, 200, 503, 503, 503])));
        assert!(!WINDOW.began_well(&of(&[200, 504, 503, 503, 503])));
    }

    #[test]
    fn what_never_suffered_recovers_at_once_and_never_falls() {
        let found = WINDOW.repetition(&of(&[200; 8]), 0);
        assert_eq!((found.good_ms, found.falls_ms), (Some(0), None));
        assert_eq!(found.good_in_fault, found.offered_in_fault);
    }

    #[test]
    fn a_loss_that_lasts_is_in_the_fault_and_its_refusals_are_decisions() {
        let window = Window {
            ended: Duration::from_micros(700_900),
            ..WINDOW
        };
        let found = window.repetition(&of(&[200, 200, 503, 503, 401, 401, 401, 401]), 0);
        assert_eq!((found.offered_in_fault, found.good_in_fault), (500, 0));
        assert_eq!(found.decided_ms, Some(0));
        assert_eq!(found.good_ms, None);
        assert_eq!(
            (found.unauthorized_in_fault, found.unauthorized_after),
            (0, 400)
        );
    }

    #[test]
    fn a_refusal_while_nobody_could_know_is_counted() {
        let found = WINDOW.repetition(&of(&[200, 200, 503, 401, 200, 200]), 0);
        assert_eq!(found.unauthorized_in_fault, 100);
    }

    #[test]
    fn a_refusal_that_came_after_the_outage_is_not_held_against_anybody() {
        let mut timeline = of(&[200, 200, 503, 401, 401, 401]);
        timeline[3].response_us.record(500).unwrap();
        assert_eq!(WINDOW.repetition(&timeline, 0).unauthorized_in_fault, 100);
        timeline[3].response_us.record(2_000).unwrap();
        assert_eq!(WINDOW.repetition(&timeline, 0).unauthorized_in_fault, 0);
    }

    #[test]
    fn errors_in_the_fault_are_counted_by_kind_and_good_answers_are_none() {
        let mixed = [
            slice(2, &[(Outcome::Status(200), 5), (Outcome::Timeout, 2)]),
            slice(3, &[(Outcome::Timeout, 1), (Outcome::Status(503), 4)]),
        ];
        let found: Vec<(String, u64)> = WINDOW
            .repetition(&mixed, 0)
            .errors_in_fault
            .into_iter()
            .map(|error| (error.kind, error.count))
            .collect();
        assert_eq!(found, [("503".to_owned(), 4), ("timeout".to_owned(), 3)]);
    }
}

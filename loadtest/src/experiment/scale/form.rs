//! How long and how often is measured.

use std::time::Duration;

use super::subject::Subject;

/// Time between two changes of the number of replicas under load.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// The fewest replicas that this load is for.
pub(super) const FROM: usize = 2;

/// A form of the experiment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Repetitions of the calibration.
    pub(super) rounds: u32,
    /// Restarts of each number of replicas.
    pub(super) repetitions: u32,
    /// Length of a window.
    window: Duration,
    /// Whether the service demand with fewer requests in flight is measured too.
    fewer: bool,
    /// Whether response times are observed too.
    pub(super) responses: bool,
    /// Whether one large replica is compared with small ones.
    pub(super) control: bool,
}

/// Below three minutes for two strategies.
const QUICK: Form = Form {
    rounds: 3,
    repetitions: 3,
    window: Duration::from_millis(1_600),
    fewer: false,
    responses: false,
    control: false,
};
const FULL: Form = Form {
    rounds: 3,
    repetitions: 3,
    window: Duration::from_secs(3),
    fewer: true,
    responses: true,
    control: true,
};

impl Form {
    pub(super) fn of(quick: bool) -> Self {
        if quick { QUICK } else { FULL }
    }

    /// What this form leaves out.
    pub(super) fn left_out(&self) -> Vec<String> {
        let mut left_out = Vec::new();
        if !self.fewer {
            left_out.push(
                "The short form: windows of 1.6 s, and the service demand at one number of requests in \
                 flight only."
                    .to_owned(),
            );
        }
        if !self.responses {
            left_out
                .push("Response times are predicted, and observed by the full form.".to_owned());
        }
        if !self.control {
            left_out.push(
                "The control, one replica of 0.4 processors against four of 0.1, is made by the full \
                 form."
                    .to_owned(),
            );
        }
        left_out.push(
            "The network: all processes are on one machine. Slices share its caches and its memory."
                .to_owned(),
        );
        left_out
    }

    /// A login takes tens of milliseconds of CPU time, so it takes longer to count some.
    pub(super) fn window(&self, subject: Subject) -> Duration {
        match subject {
            Subject::Strategy(_) => self.window,
            Subject::Login => self.window * 3,
        }
    }

    /// Length of the first look.
    pub(super) fn pilot(&self, subject: Subject) -> Duration {
        self.window(subject) / 2
    }

    /// Requests in flight for each replica: enough that none waits for work.
    pub(super) fn in_flight(&self, subject: Subject) -> usize {
        match subject {
            Subject::Strategy(_) => 16,
            Subject::Login => 4,
        }
    }

    /// A second number of requests in flight, to see what it does to the service demand.
    pub(super) fn fewer_in_flight(&self, subject: Subject) -> Option<usize> {
        (self.fewer && subject != Subject::Login).then_some(4)
    }

    /// How long all of it takes, about, with so many numbers of replicas.
    pub(super) fn expected(&self, subject: Subject, counts: usize) -> Duration {
        const START: Duration = Duration::from_millis(1_500);
        let window = self.window(subject) + Duration::from_millis(800);
        let per_round = (START + window) * if self.fewer { 4 } else { 3 };
        let counts = u32::try_from(counts).unwrap_or(1);
        let observed = (START + window) * self.repetitions * counts;
        let responses = if self.responses {
            window * 3 * counts
        } else {
            Duration::ZERO
        };
        START + window + per_round * self.rounds + observed + responses
    }

    /// How long the replicas take to go up and down so often.
    pub(super) fn changes(&self, most: usize, cycles: u32) -> Duration {
        let steps = u32::try_from(most.saturating_sub(FROM) * 2).unwrap_or(0);
        EVERY * steps * cycles
    }
}

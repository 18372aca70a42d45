//! What is known of a subject before it is observed, and what it lets expect.

use std::collections::BTreeMap;

use super::{
    demand::{Demands, Limits, Predicted, predict, store_ends_at},
    response::{self, Simulated, Station},
    subject::Subject,
};
use crate::{
    results::{
        Estimate,
        scale::{Component, DemandWindow, ScaleResponse},
    },
    stats::{effect::CONFIDENCE, interval},
    subject::slices::CpuLimit,
};

/// The end of the store is looked for up to so many replicas.
const MOST: f64 = 100.0;

/// One subject with what is known before it is observed.
pub(super) struct Calibrated {
    pub(super) subject: Subject,
    /// Processors of each replica.
    pub(super) cores: f64,
    pub(super) limits: Limits,
    /// Of the components that have one.
    pub(super) slices: BTreeMap<Component, CpuLimit>,
    pub(super) windows: Vec<DemandWindow>,
    /// The curves of each round.
    demands: Vec<Demands>,
    /// Numbers of replicas that the calibration saw.
    pub(super) replicas: Vec<usize>,
    /// One for each number of replicas that was asked for, in order.
    pub(super) predictions: Vec<Prediction>,
    pub(super) store_ends_at: Option<Estimate>,
}

/// What the calibration of a subject measured.
pub(super) struct Measured {
    pub(super) subject: Subject,
    /// Processors of each replica.
    pub(super) cores: f64,
    pub(super) limits: Limits,
    pub(super) windows: Vec<DemandWindow>,
    /// The curves of each round.
    pub(super) demands: Vec<Demands>,
    /// The same as one and two replicas alone show them.
    pub(super) of_two: Vec<Demands>,
    /// Numbers of replicas that were measured for it.
    pub(super) replicas: Vec<usize>,
}

/// Shares of the predicted throughput at which the response time is predicted.
const LOADS: [f64; 3] = [0.3, 0.6, 0.8];

impl Calibrated {
    /// What follows from the curves of each round, for these numbers of replicas.
    pub(super) fn new(
        measured: Measured,
        slices: BTreeMap<Component, CpuLimit>,
        counts: &[usize],
        seed: u64,
    ) -> Self {
        let Measured {
            subject,
            cores,
            limits,
            windows,
            demands,
            of_two,
            replicas,
        } = measured;
        let mut calibrated = Self {
            predictions: predictions(&demands, &of_two, &limits, counts),
            store_ends_at: end_of_store(&demands, &limits),
            subject,
            cores,
            limits,
            slices,
            windows,
            demands,
            replicas,
        };
        let responses: Vec<Vec<ScaleResponse>> = calibrated
            .predictions
            .iter()
            .map(|prediction| calibrated.responses(prediction, seed))
            .collect();
        for (prediction, responses) in calibrated.predictions.iter_mut().zip(responses) {
            prediction.responses = responses;
        }
        calibrated
    }

    /// The response times that are expected of a number of replicas, at shares of their throughput.
    fn responses(&self, prediction: &Prediction, seed: u64) -> Vec<ScaleResponse> {
        let throughput = prediction.rate().value;
        let at = |load: f64| {
            let rate = load * throughput;
            let demand = |component: Component| {
                let rounds = self
                    .demands
                    .iter()
                    .filter_map(|round| round.get(&component));
                let each: Vec<f64> = rounds.map(|curve| curve.at(rate)).collect();
                each.iter().sum::<f64>() / each.len().max(1) as f64
            };
            let station = |component: Component| Station {
                demand: demand(component),
                slice: self
                    .slices
                    .get(&component)
                    .map(|limit| (limit.quota().as_secs_f64(), limit.period().as_secs_f64())),
            };
            let system = Simulated {
                replicas: prediction.replicas,
                replica: station(self.limits.scaled),
                store: self.subject.asks_store().then(|| station(Component::Redis)),
                rest: demand(Component::Gateway) + demand(Component::Generator),
            };
            ScaleResponse {
                load,
                rate_per_second: rate,
                predicted_mean_us: response::mean_response(system, rate, seed) * 1e6,
                observed_mean_us: None,
            }
        };
        // Where all processes share the machine, slices tell nothing of their waits.
        match (throughput > 0.0, self.limits.shared) {
            (true, None) => LOADS.map(at).to_vec(),
            _ => Vec::new(),
        }
    }

    /// What is expected of a number of replicas, be it one that is observed or not.
    pub(super) fn at(&self, replicas: usize) -> Option<Predicted> {
        let rounds = self.demands.iter();
        let each = rounds.filter_map(|demands| predict(demands, &self.limits, replicas as f64));
        each.min_by(|one, other| one.rate.total_cmp(&other.rate))
    }
}

/// What is expected of a number of replicas.
#[derive(Clone, Debug)]
pub(super) struct Prediction {
    pub(super) replicas: usize,
    /// Of each round of the calibration.
    pub(super) rounds: Vec<Predicted>,
    /// What one and two replicas alone let expect, requests per second; `None` without any.
    pub(super) of_two: Option<f64>,
    /// The response time at shares of it.
    pub(super) responses: Vec<ScaleResponse>,
}

impl Prediction {
    /// Geometric mean over the rounds, with its interval.
    pub(super) fn rate(&self) -> Estimate {
        estimate(&self.rates())
    }

    pub(super) fn rates(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.rate).collect()
    }

    /// What most rounds say.
    pub(super) fn bottleneck(&self) -> Component {
        let of = |round: &Predicted| round.bottleneck;
        let votes = |component: Component| {
            let rounds = self.rounds.iter();
            rounds.filter(|round| round.bottleneck == component).count()
        };
        let most = self.rounds.iter().map(of).max_by_key(|one| votes(*one));
        most.unwrap_or(Component::Api)
    }

    /// Processors that all need together, at most.
    pub(super) fn cores(&self) -> f64 {
        self.rounds
            .iter()
            .map(|round| round.cores)
            .fold(0.0, f64::max)
    }
}

/// A geometric mean with its interval, as far as there is one.
pub(super) fn estimate(values: &[f64]) -> Estimate {
    let logs = values.iter().map(|value| value.ln()).sum::<f64>();
    let found = interval::mean(values, CONFIDENCE);
    Estimate {
        value: match values.len() {
            0 => 0.0,
            count => (logs / count as f64).exp(),
        },
        low: found.map(|one| one.low),
        high: found.map(|one| one.high),
        supported: found.is_some(),
    }
}

fn predictions(
    rounds: &[Demands],
    of_two: &[Demands],
    limits: &Limits,
    counts: &[usize],
) -> Vec<Prediction> {
    let each = |rounds: &[Demands], replicas: usize| -> Vec<Predicted> {
        let rounds = rounds.iter();
        let each = rounds.filter_map(|demands| predict(demands, limits, replicas as f64));
        each.collect()
    };
    let of = |replicas: &usize| {
        let of_two: Vec<f64> = each(of_two, *replicas).iter().map(|one| one.rate).collect();
        Prediction {
            replicas: *replicas,
            rounds: each(rounds, *replicas),
            of_two: (!of_two.is_empty()).then(|| estimate(&of_two).value),
            responses: Vec::new(),
        }
    };
    counts.iter().map(of).collect()
}

/// `None` when a round does not find it.
fn end_of_store(rounds: &[Demands], limits: &Limits) -> Option<Estimate> {
    let ends: Option<Vec<f64>> = rounds
        .iter()
        .map(|demands| store_ends_at(demands, limits, MOST))
        .collect();
    ends.filter(|ends| !ends.is_empty())
        .map(|ends| estimate(&ends))
}

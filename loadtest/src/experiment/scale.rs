//! `loadtest scale`: what the next replica buys, predicted and then observed.
//!
//! Each process has a slice of a processor ([`crate::subject::slices`]), so that one machine is a small
//! cluster. The order: service demands are measured at one and two replicas · the throughput of every number
//! of replicas is predicted and written down ([`Calibrated::prediction`]) · each of them is observed several
//! times in a random order, with processes that were started anew · both are laid side by side, and models
//! are fitted to what was observed.

mod bench;
mod calibrate;
mod calibrated;
mod changes;
mod demand;
mod evaluate;
mod form;
mod look;
mod observe;
mod options;
mod response;
mod seen;
mod subject;

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::{
    experiment::error::ExperimentError,
    instrument::{
        environment,
        gates::{self, Evidence},
        machine::MachineUse,
    },
    progress::Progress,
    report,
    results::{
        Culprit, Environment, Gate, Origin, Results, Scale, Validity,
        scale::{Component, ReplicaChanges, ScaleResponse},
    },
};
use bench::Bench;
use calibrated::{Calibrated as Subjects, Prediction as Expected};
use form::Form;
use observe::Observed;
use options::processors;
pub use options::{AUTH_CPU, REDIS_CPU, REPLICA_CPU, ScaleOptions};

/// The first half: what is known and expected before anything is observed.
pub struct Calibrated<'a> {
    bench: Bench<'a>,
    form: Form,
    subjects: Vec<Subjects>,
    started: Instant,
    started_at: SystemTime,
    predicted_at: SystemTime,
    environment: Environment,
    at_rest: MachineUse,
}

/// What was expected, as it is written down before it is observed.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// When, RFC 3339 in UTC.
    pub predicted_at: String,
    /// Every number of replicas.
    pub points: Vec<PredictedPoint>,
}

/// What was expected of a number of replicas.
#[derive(Clone, Debug, Serialize)]
pub struct PredictedPoint {
    /// The strategy, or `login`.
    pub strategy: String,
    /// Replicas of what is scaled.
    pub replicas: usize,
    /// Requests per second, geometric mean over the rounds of the calibration.
    pub predicted_per_second: f64,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// What ends it.
    pub bottleneck: Component,
    /// Processors that all processes need together.
    pub demand_cores: f64,
    /// The response time at shares of it.
    pub response_times: Vec<ScaleResponse>,
}

/// Measures the service demands and predicts from them.
///
/// # Errors
///
/// No limits can be set, a system does not start, or the generator fails.
pub fn calibrate<'a>(
    options: &'a ScaleOptions,
    progress: &Progress,
) -> Result<Calibrated<'a>, ExperimentError> {
    ExperimentError::or_interrupted(begin(options, progress), &options.stack.interrupt)
}

fn begin<'a>(
    options: &'a ScaleOptions,
    progress: &Progress,
) -> Result<Calibrated<'a>, ExperimentError> {
    let (started, started_at) = (Instant::now(), SystemTime::now());
    let mut bench = Bench::new(options)?;
    let at_rest = gates::at_rest(progress)?;
    let mut environment = environment::read(Origin::Started);
    let form = Form::of(options.quick);
    let mut subjects = Vec::new();
    for (subject, counts) in options.subjects()? {
        let one = calibrate::calibrate(&mut bench, &form, subject, counts, progress)?;
        subjects.push(one);
    }
    environment.facts.extend(bench.facts.clone());
    Ok(Calibrated {
        bench,
        form,
        subjects,
        started,
        started_at,
        predicted_at: SystemTime::now(),
        environment,
        at_rest,
    })
}

impl Calibrated<'_> {
    /// What is expected of every number of replicas.
    #[must_use]
    pub fn prediction(&self) -> Prediction {
        let of = |one: &Subjects| {
            let name = one.subject.name();
            let point = move |prediction: &Expected| {
                let rate = prediction.rate();
                PredictedPoint {
                    strategy: name.to_owned(),
                    replicas: prediction.replicas,
                    predicted_per_second: rate.value,
                    low: rate.low,
                    high: rate.high,
                    bottleneck: prediction.bottleneck(),
                    demand_cores: prediction.cores(),
                    response_times: prediction.responses.clone(),
                }
            };
            one.predictions.iter().map(point).collect::<Vec<_>>()
        };
        Prediction {
            predicted_at: moment(self.predicted_at),
            points: self.subjects.iter().flat_map(of).collect(),
        }
    }

    /// Observes what was predicted, and says what came of it.
    ///
    /// # Errors
    ///
    /// A system does not start, or the generator fails. That a prediction was wrong is a result.
    pub fn observe(mut self, progress: &Progress) -> Result<Results, ExperimentError> {
        let observed_from = SystemTime::now();
        let options = self.bench.options;
        let interrupt = &options.stack.interrupt;
        let observed = observe::observe(&mut self.bench, &self.form, &self.subjects, progress);
        let observed = ExperimentError::or_interrupted(observed, interrupt)?;
        let changes = ExperimentError::or_interrupted(self.changes(progress), interrupt)?;
        let gates = self.gates(&observed);
        let scale = self.scale(observed, changes, observed_from);
        let plan = evaluate::plan(options, &self.form, &self.subjects);
        let mut results = Results {
            scale: Some(scale),
            validity: Validity::of(&gates, false),
            gates,
            ..Results::of(self.started_at, self.environment, plan)
        };
        results.duration_seconds = self.started.elapsed().as_secs_f64();
        results.findings = report::findings(&results);
        Ok(results)
    }

    fn changes(&mut self, progress: &Progress) -> Result<Vec<ReplicaChanges>, ExperimentError> {
        let most = self.bench.options.replicas.last().copied().unwrap_or(1);
        let mut changes = Vec::new();
        for one in &self.subjects {
            changes.extend(changes::measure(&mut self.bench, one, most, progress)?);
        }
        Ok(changes)
    }

    fn gates(&self, observed: &Observed) -> Vec<Gate> {
        let mut gates = gates::of(&Evidence {
            origin: Origin::Started,
            self_check: None,
            points: observed.evidence.clone(),
            at_rest: Some(self.at_rest.clone()),
            during: Some(self.bench.during.clone()),
            ended_by: None,
        });
        // Each connection is always busy, so that what was due is what was answered.
        gates.retain(|gate| gate.culprit != Culprit::System || gate.name == "failed_requests");
        gates
    }

    fn scale(
        &self,
        observed: Observed,
        changes: Vec<ReplicaChanges>,
        observed_from: SystemTime,
    ) -> Scale {
        let options = self.bench.options;
        let first = self.subjects.first();
        let in_flight = first.map_or(0, |one| self.form.in_flight(one.subject));
        let window = first.map_or(Duration::ZERO, |one| self.form.window(one.subject));
        Scale {
            limits_set_by: self.bench.limits_set_by(),
            in_flight_per_replica: in_flight as u32,
            gateway_threads: options.stack.gateway_threads as u32,
            generator_threads: options.generator_threads as u32,
            processors: processors(),
            demand_limit: options.demand_limit(),
            window_seconds: window.as_secs_f64(),
            predicted_at: moment(self.predicted_at),
            observed_from: moment(observed_from),
            subjects: self
                .subjects
                .iter()
                .map(|one| evaluate::subject(one, &observed.points, options.seed))
                .collect(),
            points: observed.points,
            refused: observed.refused,
            controls: observed.controls,
            changes,
        }
    }
}

fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

//! What was predicted, observed: every number of replicas several times, in a random order, each time with
//! processes that were started anew.

use std::collections::BTreeMap;

use super::{
    bench::{Asked, Bench, Setup, System, closed, open},
    calibrate::used,
    calibrated::{Calibrated, Prediction, estimate},
    form::Form,
    options::ScaleOptions,
    seen::Seen,
};
use crate::{
    experiment::error::ExperimentError,
    instrument::gates::PointEvidence,
    progress::Progress,
    results::{
        Estimate,
        scale::{Component, RefusedPoint, ScaleControl, ScalePoint, ScaleResponse},
    },
    stats::{effect, random::Random},
};

/// Small replicas of the control, and what each of them has.
const CONTROL: (usize, f64) = (4, 0.1);

/// One window that is to be observed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Visit {
    /// Number of the subject.
    subject: usize,
    replicas: usize,
    /// Processors of each replica.
    cores: f64,
    is_control: bool,
}

/// What was observed.
pub(super) struct Observed {
    pub(super) points: Vec<ScalePoint>,
    pub(super) refused: Vec<RefusedPoint>,
    pub(super) controls: Vec<ScaleControl>,
    pub(super) evidence: Vec<PointEvidence>,
}

/// A visit and what was seen.
struct Visited {
    visit: Visit,
    seen: Seen,
    /// Predicted and observed; empty where they were only predicted.
    responses: Vec<ScaleResponse>,
}

/// Observes all subjects.
pub(super) fn observe(
    bench: &mut Bench<'_>,
    form: &Form,
    calibrated: &[Calibrated],
    progress: &Progress,
) -> Result<Observed, ExperimentError> {
    let limit = bench.options.demand_limit();
    let affordable = |prediction: &Prediction| limit.is_none_or(|limit| prediction.cores() < limit);
    let plan = plan(form, calibrated, affordable, bench.options);
    let mut visited: Vec<Visited> = Vec::new();
    for (place, visit) in plan.iter().enumerate() {
        let one = &calibrated[visit.subject];
        progress.step(&format!(
            "observing {} of {}: {}, replicas: {}",
            place + 1,
            plan.len(),
            one.subject.name(),
            visit.replicas
        ));
        let is_first = !visited.iter().any(|earlier| earlier.visit == *visit);
        visited.push(go(bench, form, one, *visit, is_first)?);
    }
    let mut observed = Observed {
        points: Vec::new(),
        refused: Vec::new(),
        controls: Vec::new(),
        evidence: Vec::new(),
    };
    for (index, one) in calibrated.iter().enumerate() {
        let own: Vec<&Visited> = visited
            .iter()
            .filter(|visited| visited.visit.subject == index)
            .collect();
        observed.add(one, &own, affordable, bench.options.redis_shards);
    }
    Ok(observed)
}

/// Starts what is to be visited, and measures it; the first of its kind has its response times measured too,
/// where the form does that.
fn go(
    bench: &mut Bench<'_>,
    form: &Form,
    one: &Calibrated,
    visit: Visit,
    is_first: bool,
) -> Result<Visited, ExperimentError> {
    let setup = Setup {
        subject: one.subject,
        replicas: visit.replicas,
        cores: visit.cores,
    };
    let system = bench.start(setup)?;
    // As many in flight for the large one of the control as for all of the small ones.
    let busy = if visit.is_control {
        CONTROL.0
    } else {
        visit.replicas
    };
    let asked = closed(form.in_flight(one.subject) * busy, form.window(one.subject));
    let seen = bench.window(&system, asked)?;
    let responses = match form.responses && is_first && !visit.is_control {
        true => response_times(bench, form, &system, one, &visit)?,
        false => Vec::new(),
    };
    bench.end(system);
    Ok(Visited {
        visit,
        seen,
        responses,
    })
}

impl Observed {
    /// Adds a subject, by its visits.
    fn add(
        &mut self,
        one: &Calibrated,
        visited: &[&Visited],
        affordable: impl Fn(&Prediction) -> bool,
        shards: u32,
    ) {
        let of = |replicas: usize, is_control: bool| -> Vec<&Visited> {
            let wanted = |visited: &&&Visited| {
                let visit = &visited.visit;
                visit.replicas == replicas && visit.is_control == is_control
            };
            visited.iter().filter(wanted).copied().collect()
        };
        let seen = |of: &[&Visited]| -> Vec<Seen> {
            of.iter().map(|visited| visited.seen.clone()).collect()
        };
        let first = self.points.len();
        for prediction in &one.predictions {
            if !affordable(prediction) {
                self.refused.push(refused(one, prediction));
                continue;
            }
            let visits = of(prediction.replicas, false);
            let responses = visits.iter().find(|one| !one.responses.is_empty());
            let responses = responses.map_or(&prediction.responses, |one| &one.responses);
            let visits = seen(&visits);
            let point = point(one, prediction, &visits, shards);
            self.points.extend(point.map(|point| ScalePoint {
                response_times: responses.clone(),
                ..point
            }));
            self.evidence
                .extend(evidence(one, prediction.replicas, &visits));
        }
        next_replicas(&mut self.points[first..]);
        let (large, small) = (seen(&of(1, true)), seen(&of(CONTROL.0, true)));
        self.controls.extend(control(one, &large, &small));
    }
}

/// The predicted response times beside those in an open loop.
fn response_times(
    bench: &mut Bench<'_>,
    form: &Form,
    system: &System,
    one: &Calibrated,
    visit: &Visit,
) -> Result<Vec<ScaleResponse>, ExperimentError> {
    let mut predictions = one.predictions.iter();
    let prediction = predictions.find(|one| one.replicas == visit.replicas);
    let mut responses = prediction.map_or_else(Vec::new, |one| one.responses.clone());
    for response in &mut responses {
        let asked = Asked {
            load: open(response.rate_per_second),
            length: form.window(one.subject),
        };
        response.observed_mean_us = Some(bench.window(system, asked)?.mean_us);
    }
    Ok(responses)
}

/// Each repetition holds everything once, in an order that only the seed knows.
fn plan(
    form: &Form,
    calibrated: &[Calibrated],
    affordable: impl Fn(&Prediction) -> bool,
    options: &ScaleOptions,
) -> Vec<Visit> {
    let mut each = Vec::new();
    for (subject, one) in calibrated.iter().enumerate() {
        let predictions = one.predictions.iter();
        each.extend(
            predictions
                .filter(|it| affordable(it))
                .map(|prediction| Visit {
                    subject,
                    replicas: prediction.replicas,
                    cores: one.cores,
                    is_control: false,
                }),
        );
        let is_sliced = options.demand_limit().is_some();
        if form.control && is_sliced && one.subject.scaled() == Component::Api {
            let (several, cores) = CONTROL;
            let small = Visit {
                subject,
                replicas: several,
                cores,
                is_control: true,
            };
            each.push(small);
            each.push(Visit {
                replicas: 1,
                cores: cores * several as f64,
                ..small
            });
        }
    }
    let mut random = Random::new(options.seed ^ 0x5CA1E);
    let mut plan = Vec::new();
    for _ in 0..form.repetitions {
        let mut order = each.clone();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        plan.extend(order);
    }
    plan
}

/// `None` without a prediction or an observation.
fn point(
    one: &Calibrated,
    prediction: &Prediction,
    visits: &[Seen],
    shards: u32,
) -> Option<ScalePoint> {
    let rates: Vec<f64> = visits.iter().map(|seen| seen.rate).collect();
    if rates.is_empty() || prediction.rounds.is_empty() {
        return None;
    }
    let (predicted, observed) = (prediction.rate(), estimate(&rates));
    let ratio = effect::unpaired(&prediction.rates(), &rates);
    let value = observed.value / predicted.value;
    let all_used = visits
        .iter()
        .map(|seen| used(seen, &one.limits, prediction.replicas));
    let used = mean_of(all_used);
    let busiest = used.iter().max_by(|a, b| a.1.total_cmp(b.1));
    let count = visits.len() as f64;
    Some(ScalePoint {
        strategy: one.subject.name().to_owned(),
        replicas: prediction.replicas as u32,
        shards,
        predicted_per_second: predicted.value,
        predicted_low: predicted.low,
        predicted_high: predicted.high,
        observed_per_second: observed.value,
        observed_low: observed.low,
        observed_high: observed.high,
        ratio: value,
        // A single one tells nothing of its spread.
        ratio_low: ratio.map_or(0.0, |ratio| ratio.low),
        ratio_high: ratio.map_or(f64::MAX, |ratio| ratio.high),
        bottleneck: busiest.map_or(prediction.bottleneck(), |(component, _)| *component),
        predicted_bottleneck: prediction.bottleneck(),
        held_out: !one.replicas.contains(&prediction.replicas),
        of_two_per_second: prediction.of_two,
        observations: rates,
        throttled: mean_of(visits.iter().map(|seen| seen.throttled.clone())),
        used,
        demand_cores: visits
            .iter()
            .flat_map(|seen| seen.cores.values())
            .sum::<f64>()
            / count,
        failed: visits.iter().map(|seen| seen.failed).sum(),
        others_share: visits
            .iter()
            .map(|seen| seen.machine.other_share() + seen.machine.stolen_share())
            .sum::<f64>()
            / count,
        next_replica_per_second: None,
        response_times: Vec::new(),
    })
}

/// The mean of each component.
fn mean_of(all: impl Iterator<Item = BTreeMap<Component, f64>>) -> BTreeMap<Component, f64> {
    let mut sums = BTreeMap::<Component, (f64, f64)>::new();
    for (component, value) in all.flatten() {
        let (sum, count) = sums.entry(component).or_default();
        *sum += value;
        *count += 1.0;
    }
    sums.into_iter()
        .map(|(component, (sum, count))| (component, sum / count))
        .collect()
}

/// Points of one subject, ascending.
fn next_replicas(points: &mut [ScalePoint]) {
    for index in 1..points.len() {
        let (from, to) = (&points[index - 1], &points[index]);
        let more = f64::from(to.replicas.saturating_sub(from.replicas).max(1));
        let adds = (to.observed_per_second - from.observed_per_second) / more;
        points[index - 1].next_replica_per_second = Some(adds);
    }
}

fn refused(one: &Calibrated, prediction: &Prediction) -> RefusedPoint {
    RefusedPoint {
        strategy: one.subject.name().to_owned(),
        replicas: prediction.replicas as u32,
        predicted_per_second: prediction.rate().value,
        demand_cores: prediction.cores(),
    }
}

fn control(one: &Calibrated, large: &[Seen], small: &[Seen]) -> Option<ScaleControl> {
    let rates = |of: &[Seen]| -> Vec<f64> { of.iter().map(|seen| seen.rate).collect() };
    let (large, small) = (rates(large), rates(small));
    let ratio = effect::unpaired(&large, &small)?;
    Some(ScaleControl {
        strategy: one.subject.name().to_owned(),
        replicas: CONTROL.0 as u32,
        cores_each: CONTROL.1,
        one_per_second: estimate(&large).value,
        several_per_second: estimate(&small).value,
        ratio: Estimate {
            value: ratio.ratio,
            low: Some(ratio.low),
            high: Some(ratio.high),
            supported: true,
        },
    })
}

/// What must hold of the generator. Requests are sent when the last one was answered, so none is late.
fn evidence(one: &Calibrated, replicas: usize, visits: &[Seen]) -> Option<PointEvidence> {
    let requests: u64 = visits.iter().map(|seen| seen.requests).sum();
    let failed: u64 = visits.iter().map(|seen| seen.failed).sum();
    let shares = visits.iter().map(|seen| seen.generator_share);
    (!visits.is_empty()).then(|| PointEvidence {
        name: format!("{} at {replicas} replicas", one.subject.name()),
        response_p50_us: None,
        response_p99_us: None,
        send_lag_p50_us: 0.0,
        send_lag_p99_us: 0.0,
        receive_lateness_p99_us: None,
        generator_share: shares.fold(0.0, f64::max),
        due: requests,
        good: requests - failed,
        good_in_window: requests - failed,
        own_connect_fault: visits
            .iter()
            .find_map(|seen| seen.own_connect_fault.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        experiment::scale::{calibrated::Measured, demand::Curve, subject::Subject},
        subject::{stack::StackOptions, strategy::Strategy},
    };

    fn options() -> ScaleOptions {
        ScaleOptions {
            stack: StackOptions::default(),
            replicas: vec![1, 2, 4, 8],
            auth_replicas: Vec::new(),
            replica_cpu: None,
            redis_cpu: 0.05,
            redis_shards: 1,
            up_and_down: 0,
            generator_threads: 1,
            whole_machine: false,
            quick: true,
            seed: 7,
        }
    }

    /// Two rounds that predict 1,000 and 1,100 requests per second for each replica.
    fn calibrated(strategy: &str) -> Calibrated {
        let subject = Subject::Strategy(Strategy::named(strategy).unwrap());
        let demands = |rate: f64| {
            let curve = Curve::through(vec![(rate, 0.05 / rate)]).unwrap();
            BTreeMap::from([(Component::Api, curve)])
        };
        let measured = Measured {
            subject,
            cores: 0.05,
            limits: options().limits(subject, 0.05),
            windows: Vec::new(),
            demands: [1_000.0, 1_100.0].map(demands).to_vec(),
            of_two: vec![demands(900.0)],
            replicas: vec![1, 2, 8],
        };
        Calibrated::new(measured, BTreeMap::new(), &options().replicas, 7)
    }

    fn seen(rate: f64, api: f64, redis: f64) -> Seen {
        Seen {
            rate,
            demand: BTreeMap::new(),
            cores: [(Component::Api, api), (Component::Redis, redis)].into(),
            throttled: [(Component::Redis, 0.5)].into(),
            requests: 1_000,
            failed: 0,
            mean_us: 1.0,
            generator_share: 0.5,
            own_connect_fault: None,
            machine: crate::instrument::machine::MachineUse::default(),
        }
    }

    #[test]
    fn every_repetition_holds_each_number_of_replicas_once_in_an_order_of_its_own() {
        let (form, all) = (Form::of(true), [calibrated("jwt"), calibrated("session")]);
        let plan = plan(&form, &all, |one| one.replicas < 8, &options());
        let repetitions: Vec<Vec<(usize, usize)>> = plan
            .chunks(6)
            .map(|part| part.iter().map(|one| (one.subject, one.replicas)).collect())
            .collect();
        assert_eq!(repetitions.len(), form.repetitions as usize);
        let expected = [(0, 1), (0, 2), (0, 4), (1, 1), (1, 2), (1, 4)];
        for repetition in &repetitions {
            let mut sorted = repetition.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, expected);
        }
        assert_ne!(repetitions[0], repetitions[1]);
    }

    #[test]
    fn what_used_most_of_its_limit_ended_it_whatever_was_predicted() {
        let one = calibrated("session");
        // Four replicas have 0.2 processors, Redis 0.05.
        let visits = [
            seen(3_900.0, 0.15, 0.05),
            seen(4_000.0, 0.14, 0.049),
            seen(4_100.0, 0.15, 0.05),
        ];
        let point = point(&one, &one.predictions[2], &visits, 1).unwrap();
        assert_eq!(point.bottleneck, Component::Redis);
        assert_eq!(point.predicted_bottleneck, Component::Api);
        assert!(point.held_out && point.observations.len() == 3);
        assert!(
            point
                .of_two_per_second
                .is_some_and(|rate| (rate - 3_600.0).abs() < 1.0)
        );
        // 4,000 of the geometric mean of 4,000 and 4,400.
        assert!(
            (point.ratio - 4_000.0 / 4_195.2).abs() < 1e-3,
            "{}",
            point.ratio
        );
        assert!(point.ratio_low < point.ratio && point.ratio < point.ratio_high);
        assert!((point.used[&Component::Api] - 0.7333).abs() < 1e-3);
    }

    #[test]
    fn the_next_replica_adds_its_part_of_what_the_next_number_adds() {
        let one = calibrated("jwt");
        let point = |index: usize, rate: f64| {
            let seen = seen(rate, 0.05, 0.0);
            point(&one, &one.predictions[index], &[seen], 1).unwrap()
        };
        let mut points = [point(1, 2_000.0), point(2, 3_800.0), point(3, 7_000.0)];
        next_replicas(&mut points);
        let adds = points.map(|point| point.next_replica_per_second.map(f64::round));
        assert_eq!(adds, [Some(900.0), Some(800.0), None]);
    }
}

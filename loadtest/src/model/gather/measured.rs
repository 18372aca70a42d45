//! One arm as its results have it.

use crate::{
    model::figure::{Knot, Source, Table},
    results::{ArmInfo, Conditions, Estimate, Point, Results},
    subject::strategy::Strategy,
};

/// The arms that can be modelled; the baseline counts once.
pub(super) fn arms(results: &Results) -> impl Iterator<Item = &ArmInfo> {
    let floor = results.plan.floor_arm.as_deref();
    let arms = results.plan.arms.iter();
    arms.filter(move |arm| Some(arm.name.as_str()) != floor)
}

/// Whether an arm's replicas remember verified tokens.
pub(super) fn remembers(arm: &ArmInfo, strategy: Strategy) -> bool {
    let given = arm.variables.get("API_REMEMBERED_TOKENS");
    given.map_or(strategy.remembers(), |count| count != "0")
}

/// One arm in its results.
pub(super) struct Measured<'a> {
    pub(super) results: &'a Results,
    pub(super) arm: &'a ArmInfo,
}

impl<'a> Measured<'a> {
    /// The arm of this strategy that has no settings of its own.
    pub(super) fn without_settings(&self, strategy: &str) -> Option<&'a ArmInfo> {
        arms(self.results).find(|arm| {
            arm.strategy.as_deref() == Some(strategy) && arm.variables.is_empty() && !arm.own_build
        })
    }

    /// Its points of the first working set and mixture, ascending by rate.
    pub(super) fn points(&self) -> Vec<&'a Point> {
        let first = self.results.plan.conditions.first();
        let alike = |one: &Conditions| {
            first.is_some_and(|it| it.working_set == one.working_set && it.mix == one.mix)
        };
        let points = self.results.points.iter();
        let mut points: Vec<&Point> = points
            .filter(|point| point.arm == self.arm.name && alike(&point.conditions))
            .collect();
        points.sort_by(|one, other| {
            let rate = |point: &Point| point.conditions.rate_per_second;
            rate(one).total_cmp(&rate(other))
        });
        points
    }

    /// The lowest rate and the highest.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let points = self.points();
        let rate = |point: &Point| point.conditions.rate_per_second;
        Some((rate(points.first()?), rate(points.last()?)))
    }

    /// A metric at the highest rate.
    pub(super) fn last(&self, metric: &str) -> Option<Estimate> {
        let points = self.points();
        points.last()?.metrics.get(metric).copied()
    }

    /// Threads that share the work of a part.
    fn threads(&self, part: &str) -> f64 {
        let number = |variable: &str| {
            let facts = self.results.environment.facts.iter();
            let of = |name: &str| {
                let own = name.strip_prefix(self.arm.name.as_str()).unwrap_or(name);
                own.ends_with(variable) && (part != "api" || own.len() < name.len())
            };
            let mut found = facts.filter(|(name, _)| of(name));
            found.find_map(|(_, value)| value.parse::<f64>().ok())
        };
        let replicas = self.arm.replicas.unwrap_or(self.results.plan.replicas);
        let threads = match part {
            "gateway" => number("gateway GATEWAY_THREADS"),
            "api" => number(" api API_WORKERS").map(|workers| workers * f64::from(replicas.max(1))),
            "auth" => number("auth AUTH_WORKERS"),
            _ => None,
        };
        let otherwise = if part == "api" {
            f64::from(replicas.max(1))
        } else {
            1.0
        };
        threads
            .filter(|threads| *threads >= 1.0)
            .unwrap_or(otherwise)
    }

    /// Processor time of a request in a part, over how busy each of its threads was.
    pub(super) fn curve(&self, part: &str) -> Option<Table> {
        let metric = format!("cpu_us_per_request_{part}");
        let threads = self.threads(part);
        let knot = |point: &&Point| {
            let found = point.metrics.get(&metric)?;
            Some(Knot {
                x: point.conditions.rate_per_second * found.value / 1e6 / threads,
                value: found.value,
                low: found.low.unwrap_or(found.value),
                high: found.high.unwrap_or(found.value),
            })
        };
        let knots: Vec<Knot> = self.points().iter().filter_map(knot).collect();
        (!knots.is_empty()).then(|| Table::new(knots))
    }

    pub(super) fn source(&self, part: &str) -> Source {
        let points = self.points().len();
        Source::Measured(format!(
            "cpu_us_per_request_{part} of {} at {points} load{}",
            self.arm.name,
            if points == 1 { "" } else { "s" }
        ))
    }
}

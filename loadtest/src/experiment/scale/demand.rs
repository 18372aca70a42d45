//! From service demands to the throughput that they allow. Pure.
//!
//! The service demand of a component is no constant: a server that has more to do does more at once, and
//! is woken up less often. So it is a curve over the rate that all requests together have, measured at a
//! fixed number of requests in flight for each replica: straight between the rates that were measured, and
//! constant beyond them.

use std::collections::BTreeMap;

use crate::results::scale::Component;

/// Halvings of an interval: more than a number has digits.
const STEPS: usize = 60;
/// Rates that are closer than this are one rate, measured twice.
const SAME: f64 = 1.1;

/// Service demand over the rate of all requests.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    /// Rate in requests per second and demand in seconds, ascending.
    knots: Vec<(f64, f64)>,
}

impl Curve {
    /// Through what was measured, in any order; rates that are nearly the same are taken together. `None`
    /// without any.
    pub(super) fn through(mut measured: Vec<(f64, f64)>) -> Option<Self> {
        measured.retain(|(rate, demand)| rate.is_finite() && *demand > 0.0);
        measured.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut knots: Vec<(f64, f64, f64)> = Vec::new();
        for (rate, demand) in measured {
            match knots.last_mut() {
                Some((rates, demands, count)) if rate < *rates / *count * SAME => {
                    *rates += rate;
                    *demands += demand;
                    *count += 1.0;
                }
                _ => knots.push((rate, demand, 1.0)),
            }
        }
        let knots: Vec<(f64, f64)> = knots
            .into_iter()
            .map(|(rates, demands, count)| (rates / count, demands / count))
            .collect();
        (!knots.is_empty()).then_some(Self { knots })
    }

    /// The demand at a rate, in seconds.
    pub(super) fn at(&self, rate: f64) -> f64 {
        let after = self.knots.partition_point(|(knot, _)| *knot < rate);
        match (after.checked_sub(1), self.knots.get(after)) {
            (None, Some((_, demand))) => *demand,
            (Some(before), Some((to, there))) => {
                let (from, here) = self.knots[before];
                here + (there - here) * (rate - from) / (to - from)
            }
            (Some(before), None) => self.knots[before].1,
            (None, None) => unreachable!("a curve has a knot"),
        }
    }
}

/// The curves of all components.
pub(super) type Demands = BTreeMap<Component, Curve>;

/// How many processors each component may use.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limits {
    /// Whose replicas are counted.
    pub(super) scaled: Component,
    /// Processors of each replica.
    pub(super) per_replica: f64,
    /// Processors of the others.
    pub(super) fixed: BTreeMap<Component, f64>,
    /// Processors of the machine, where all share them.
    pub(super) shared: Option<f64>,
}

impl Limits {
    /// Processors that a component may use with so many replicas.
    pub(super) fn of(&self, component: Component, replicas: f64) -> f64 {
        if component == self.scaled {
            return self.per_replica * replicas;
        }
        let fixed = self.fixed.get(&component).copied();
        fixed.unwrap_or(f64::INFINITY)
    }
}

/// What is predicted of a number of replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Predicted {
    /// Requests per second.
    pub(super) rate: f64,
    /// What ends it.
    pub(super) bottleneck: Component,
    /// Processors that all components need together at that rate.
    pub(super) cores: f64,
}

/// The rate at which the first component reaches its limit. `None` without a curve, or where nothing has a
/// limit.
///
/// What a component can do depends on its demand, which depends on the rate: it is the rate that agrees with
/// itself; where more than one does, the lowest, which is reached first.
pub(super) fn predict(demands: &Demands, limits: &Limits, replicas: f64) -> Option<Predicted> {
    let within = |rate: f64| Some(rate <= bound(demands, limits, replicas, rate)?.0);
    let mut knots: Vec<f64> = demands
        .values()
        .flat_map(|curve| curve.knots.iter().map(|(rate, _)| *rate))
        .collect();
    knots.sort_by(f64::total_cmp);
    let (mut below, mut above) = (0.0, None);
    for knot in knots {
        if !within(knot)? {
            above = Some(knot);
            break;
        }
        below = knot;
    }
    // Beyond the last knot the demands are constant, and so is what they allow.
    let mut above = match above {
        Some(knot) => knot,
        None => bound(demands, limits, replicas, below * 2.0)?.0 * 2.0,
    };
    if !above.is_finite() {
        return None;
    }
    for _ in 0..STEPS {
        let middle = f64::midpoint(below, above);
        if within(middle)? {
            below = middle;
        } else {
            above = middle;
        }
    }
    Some(Predicted {
        rate: below,
        bottleneck: bound(demands, limits, replicas, below)?.1,
        cores: below * sum(demands, below),
    })
}

/// What the demands at a rate allow, and who allows the least.
fn bound(demands: &Demands, limits: &Limits, replicas: f64, rate: f64) -> Option<(f64, Component)> {
    let allowed = |(component, curve): (&Component, &Curve)| {
        (limits.of(*component, replicas) / curve.at(rate), *component)
    };
    let least = demands.iter().map(allowed);
    let least = least.min_by(|one, other| one.0.total_cmp(&other.0))?;
    match limits.shared.map(|cores| cores / sum(demands, rate)) {
        Some(all) if all < least.0 => {
            let demand = |of: &(&Component, &Curve)| of.1.at(rate);
            let dearest = demands
                .iter()
                .max_by(|a, b| demand(a).total_cmp(&demand(b)))?;
            Some((all, *dearest.0))
        }
        _ => Some(least),
    }
}

/// The demand of all components together.
fn sum(demands: &Demands, rate: f64) -> f64 {
    demands.values().map(|curve| curve.at(rate)).sum()
}

/// The number of replicas, with a fraction, from which on the store is the bottleneck; `None` when it is not up
/// to `most`.
pub(super) fn store_ends_at(demands: &Demands, limits: &Limits, most: f64) -> Option<f64> {
    let store_ends = |replicas: f64| {
        let found = predict(demands, limits, replicas);
        found.is_some_and(|found| found.bottleneck == Component::Redis)
    };
    if !store_ends(most) {
        return None;
    }
    let (mut below, mut from) = (0.0, most);
    for _ in 0..40 {
        let middle = f64::midpoint(below, from);
        if store_ends(middle) {
            from = middle;
        } else {
            below = middle;
        }
    }
    Some(from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn constant(micros: f64) -> Curve {
        Curve::through(vec![(1_000.0, micros / 1e6)]).unwrap()
    }

    fn limits(per_replica: f64, redis: f64) -> Limits {
        Limits {
            scaled: Component::Api,
            per_replica,
            fixed: BTreeMap::from([(Component::Redis, redis), (Component::Gateway, 1.0)]),
            shared: None,
        }
    }

    fn session() -> Demands {
        [
            (Component::Api, 25.0),
            (Component::Redis, 4.5),
            (Component::Gateway, 25.0),
        ]
        .map(|(component, micros)| (component, constant(micros)))
        .into()
    }

    #[test]
    fn the_replicas_end_it_until_the_store_does() {
        let limits = limits(0.05, 0.05);
        for (replicas, rate, bottleneck) in [
            (1.0, 2_000.0, Component::Api),
            (4.0, 8_000.0, Component::Api),
            (8.0, 0.05 / 4.5e-6, Component::Redis),
        ] {
            let found = predict(&session(), &limits, replicas).unwrap();
            assert!(
                (found.rate / rate - 1.0).abs() < 1e-6,
                "{replicas}: {found:?}"
            );
            assert_eq!(found.bottleneck, bottleneck);
            assert!((found.cores / (rate * 54.5e-6) - 1.0).abs() < 1e-6);
        }
        let end = store_ends_at(&session(), &limits, 100.0).unwrap();
        assert!((end - 25.0 / 4.5).abs() < 1e-3, "{end}");
    }

    #[test]
    fn a_store_that_nobody_asks_ends_nothing() {
        let mut jwt = session();
        jwt.remove(&Component::Redis);
        assert_eq!(store_ends_at(&jwt, &limits(0.05, 0.05), 100.0), None);
        // From 20 on, the one processor of the gateway is the limit.
        let found = predict(&jwt, &limits(0.05, 0.05), 64.0).unwrap();
        assert_eq!(found.bottleneck, Component::Gateway);
    }

    #[test]
    fn a_demand_that_falls_with_the_rate_moves_the_end_of_the_store() {
        let mut demands = session();
        // 18 µs at 650/s, 8 µs at 6,000/s.
        let falling = Curve::through(vec![(6_000.0, 8e-6), (650.0, 18e-6)]).unwrap();
        demands.insert(Component::Redis, falling);
        let limits = limits(0.05, 0.05);
        let found = predict(&demands, &limits, 8.0).unwrap();
        assert_eq!(found.bottleneck, Component::Redis);
        assert!((found.rate - 0.05 / 8e-6).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn processes_without_slices_share_the_machine() {
        let all = Limits {
            per_replica: 1.0,
            shared: Some(2.0),
            ..limits(1.0, 1.0)
        };
        let found = predict(&session(), &all, 4.0).unwrap();
        assert!((found.cores - 2.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn between_two_rates_the_demand_is_on_a_straight_line_and_beyond_them_constant() {
        let curve = Curve::through(vec![(2_000.0, 20e-6), (1_000.0, 30e-6), (1_020.0, 34e-6)]);
        let curve = curve.unwrap();
        assert!((curve.at(10.0) - 32e-6).abs() < 1e-12);
        assert!((curve.at(1_505.0) - 26e-6).abs() < 1e-12);
        assert!((curve.at(9_999.0) - 20e-6).abs() < 1e-12);
        assert_eq!(Curve::through(vec![]), None);
        assert_eq!(Curve::through(vec![(1.0, 0.0)]), None);
    }

    proptest! {
        #[test]
        fn what_is_predicted_is_a_rate_at_which_one_component_is_at_its_limit_and_none_above(
            knots in prop::collection::vec((100.0..20_000.0f64, 1e-6..2e-4f64), 1..6),
            replicas in 1u32..64,
        ) {
            let mut demands = session();
            demands.insert(Component::Api, Curve::through(knots).unwrap());
            let limits = limits(0.05, 0.05);
            let found = predict(&demands, &limits, f64::from(replicas)).unwrap();
            for (component, curve) in &demands {
                let used = found.rate * curve.at(found.rate)
                    / limits.of(*component, f64::from(replicas));
                prop_assert!(used < 1.01, "{component:?} {used}");
                prop_assert!(*component != found.bottleneck || used > 0.99, "{found:?} {used}");
            }
        }
    }
}

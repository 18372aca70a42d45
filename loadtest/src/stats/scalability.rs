//! Models of throughput over the number of servers, and which of them the measurements support. Pure.
//!
//! With `N` servers, X(N) = γN ÷ (1 + α(N − 1) + βN(N − 1)): the Universal Scalability Law (Gunther). Without
//! β it is Amdahl's law, and without both it is linear. So N ÷ X(N) is a sum of 1, N − 1 and N(N − 1) with
//! the factors 1/γ, α/γ and β/γ, none of which is below 0; their relative errors are made as small as they
//! can be, so that a large N counts no more than a small one. γ is fitted and not taken from one server,
//! whose measurement is as noisy as every other.

use super::{effect::CONFIDENCE, interval::Interval, random::Random};

const RESAMPLES: usize = 999;
/// Fewer numbers of servers cannot tell three parameters from noise.
pub const FEWEST_PLACES: usize = 6;

/// All measurements of one number of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// How many servers.
    pub servers: f64,
    /// Throughput of each independent measurement, above 0.
    pub throughputs: Vec<f64>,
}

/// Which law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// X = γN.
    Linear,
    /// X = γN ÷ (1 + α(N − 1)).
    Amdahl,
    /// X = γN ÷ (1 + α(N − 1) + βN(N − 1)).
    Universal,
}

/// A law with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Which one.
    pub model: Model,
    /// γ, throughput of one server, with its 95 % interval.
    pub per_server: Interval,
    /// α; 0 where the model has none.
    pub contention: Interval,
    /// β; 0 where the model has none.
    pub coherency: Interval,
    /// Akaike's information criterion for small samples (Hurvich and Tsai, 1989).
    pub aicc: f64,
    /// Root of the mean squared relative error.
    pub relative_error: f64,
}

/// The laws, the best one first. Empty with fewer than [`FEWEST_PLACES`] numbers of servers, or a value
/// that is not above 0.
///
/// Intervals are those of a bootstrap: measurements are drawn with replacement at each number of servers. At
/// the bounds of the parameters normal intervals would be wrong.
#[must_use]
pub fn fits(places: &[Place], seed: u64) -> Vec<Fit> {
    let is_good = |place: &Place| {
        let mut values = place.throughputs.iter();
        place.servers > 0.0 && !place.throughputs.is_empty() && values.all(|value| *value > 0.0)
    };
    if places.len() < FEWEST_PLACES || !places.iter().all(is_good) {
        return Vec::new();
    }
    let points = points(places, |values| values.to_vec());
    let mut random = Random::new(seed);
    let resampled: Vec<Vec<(f64, f64)>> = (0..RESAMPLES)
        .map(|_| {
            self::points(places, |values| {
                let drawn = values.iter().map(|_| values[random.below(values.len())]);
                drawn.collect()
            })
        })
        .collect();
    let mut found: Vec<Fit> = [Model::Linear, Model::Amdahl, Model::Universal]
        .into_iter()
        .map(|model| fit(model, &points, &resampled))
        .collect();
    found.sort_by(|one, other| one.aicc.total_cmp(&other.aicc));
    found
}

/// Servers and throughput of each measurement.
fn points(places: &[Place], mut of: impl FnMut(&[f64]) -> Vec<f64>) -> Vec<(f64, f64)> {
    places
        .iter()
        .flat_map(|place| {
            let values = of(&place.throughputs).into_iter();
            values.map(|value| (place.servers, value))
        })
        .collect()
}

fn fit(model: Model, points: &[(f64, f64)], resampled: &[Vec<(f64, f64)>]) -> Fit {
    let best = Law::of(model, points);
    let drawn: Vec<Law> = resampled
        .iter()
        .map(|points| Law::of(model, points))
        .collect();
    let interval = |of: fn(&Law) -> f64| {
        let mut values: Vec<f64> = drawn.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let cut = ((1.0 - CONFIDENCE) / 2.0 * values.len() as f64) as usize;
        let value = of(&best);
        Interval {
            value,
            low: values[cut].min(value),
            high: values[values.len() - 1 - cut].max(value),
        }
    };
    let count = points.len() as f64;
    // A sum of 0 would make the criterion infinite, and no clock is that exact.
    let mean_square = (best.squares(points) / count).max(1e-12);
    // With the variance of the errors.
    let parameters = match model {
        Model::Linear => 2.0,
        Model::Amdahl => 3.0,
        Model::Universal => 4.0,
    };
    let small = 2.0 * parameters * (parameters + 1.0) / (count - parameters - 1.0);
    Fit {
        model,
        per_server: interval(|law| law.per_server),
        contention: interval(|law| law.contention),
        coherency: interval(|law| law.coherency),
        aicc: count * mean_square.ln() + 2.0 * parameters + small,
        relative_error: mean_square.sqrt(),
    }
}

/// The parameters alone.
#[derive(Clone, Copy, Debug)]
struct Law {
    per_server: f64,
    contention: f64,
    coherency: f64,
}

impl Law {
    /// The parameters with the smallest relative errors, none below 0.
    fn of(model: Model, points: &[(f64, f64)]) -> Self {
        let choices: &[&[usize]] = match model {
            Model::Linear => &[&[0]],
            Model::Amdahl => &[&[0], &[0, 1]],
            Model::Universal => &[&[0], &[0, 1], &[0, 2], &[0, 1, 2]],
        };
        // With few parameters the best one within the bounds is found by trying which of them are 0.
        let laws = choices.iter().filter_map(|terms| Self::with(terms, points));
        let least = laws.min_by(|one, other| one.squares(points).total_cmp(&other.squares(points)));
        least.unwrap_or(Self {
            per_server: f64::NAN,
            contention: f64::NAN,
            coherency: f64::NAN,
        })
    }

    /// By the normal equations of these terms; `None` when one would be below 0.
    fn with(terms: &[usize], points: &[(f64, f64)]) -> Option<Self> {
        let size = terms.len();
        let mut matrix = vec![vec![0.0; size + 1]; size];
        for (servers, throughput) in points {
            // Each row is divided by what it should give, so that what remains is a relative error.
            let scale = throughput / servers;
            let row: Vec<f64> = terms
                .iter()
                .map(|term| scale * basis(*term, *servers))
                .collect();
            for (line, left) in matrix.iter_mut().zip(&row) {
                for (cell, right) in line.iter_mut().zip(row.iter().chain([&1.0])) {
                    *cell += left * right;
                }
            }
        }
        let solved = solve(matrix)?;
        let mut factors = [0.0; 3];
        for (term, value) in terms.iter().zip(solved) {
            factors[*term] = value;
        }
        let [first, second, third] = factors;
        (first > 0.0 && second >= 0.0 && third >= 0.0).then_some(Self {
            per_server: 1.0 / first,
            contention: second / first,
            coherency: third / first,
        })
    }

    fn at(&self, servers: f64) -> f64 {
        let contention = self.contention * basis(1, servers);
        let coherency = self.coherency * basis(2, servers);
        self.per_server * servers / (1.0 + contention + coherency)
    }

    /// Sum of the squared relative errors.
    fn squares(&self, points: &[(f64, f64)]) -> f64 {
        let error = |(servers, throughput): &(f64, f64)| throughput / self.at(*servers) - 1.0;
        points.iter().map(|point| error(point).powi(2)).sum()
    }
}

fn basis(term: usize, servers: f64) -> f64 {
    match term {
        0 => 1.0,
        1 => servers - 1.0,
        _ => servers * (servers - 1.0),
    }
}

/// Gauss's elimination of a small system; each row ends with its right side. `None` when it has no one
/// solution.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let lead = rows[column].clone();
        if lead[column].abs() < 1e-12 {
            return None;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            if index != column {
                let factor = row[column] / lead[column];
                for (cell, from) in row.iter_mut().zip(&lead) {
                    *cell -= factor * from;
                }
            }
        }
    }
    Some(
        (0..size)
            .map(|row| rows[row][size] / rows[row][row])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::normal;

    const SERVERS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

    /// Three measurements of each number, with noise of 2 %.
    fn measured(random: &mut Random, contention: f64, coherency: f64) -> Vec<Place> {
        let law = Law {
            per_server: 1_500.0,
            contention,
            coherency,
        };
        let place = |servers: f64| Place {
            servers,
            throughputs: (0..3)
                .map(|_| law.at(servers) * (0.02 * normal(random)).exp())
                .collect(),
        };
        SERVERS.map(place).to_vec()
    }

    #[test]
    fn the_law_that_was_measured_is_chosen_and_its_parameters_are_within_the_intervals() {
        for (contention, coherency, model) in [
            (0.0, 0.0, Model::Linear),
            (0.08, 0.0, Model::Amdahl),
            (0.05, 0.02, Model::Universal),
        ] {
            let mut random = Random::new(61);
            let (mut chosen, mut covered) = (0, 0);
            for run in 0..60 {
                let found = fits(&measured(&mut random, contention, coherency), run);
                chosen += usize::from(found[0].model == model);
                let own = found.iter().find(|fit| fit.model == model).unwrap();
                let holds = |one: &Interval, truth| one.low <= truth && truth <= one.high;
                covered += usize::from(
                    holds(&own.per_server, 1_500.0) && holds(&own.contention, contention),
                );
                assert!(own.relative_error < 0.05, "{own:?}");
            }
            assert!(chosen >= 42, "{model:?}: {chosen}");
            // Three measurements of a place vary too little when they are drawn.
            assert!(covered >= 40, "{model:?}: {covered}");
        }
    }

    #[test]
    fn no_parameter_is_below_its_bound_when_more_servers_do_more_than_their_share() {
        let place = |servers: f64| Place {
            servers,
            throughputs: vec![1_000.0 * servers.powf(1.2), 1_010.0 * servers.powf(1.2)],
        };
        for fit in fits(&SERVERS.map(place), 1) {
            assert!(
                fit.contention.value == 0.0 && fit.coherency.value == 0.0,
                "{fit:?}"
            );
            assert!(fit.per_server.value > 1_000.0);
        }
    }

    #[test]
    fn five_places_are_too_few_and_a_throughput_of_nothing_is_none() {
        let mut places = measured(&mut Random::new(1), 0.0, 0.0);
        places[2].throughputs[0] = 0.0;
        assert_eq!(fits(&places, 1), Vec::new());
        assert_eq!(
            fits(&measured(&mut Random::new(1), 0.0, 0.0)[..5], 1),
            Vec::new()
        );
    }

    #[test]
    fn a_system_of_equations_is_solved_and_a_singular_one_is_not() {
        let solved = solve(vec![vec![2.0, 1.0, 5.0], vec![1.0, 3.0, 10.0]]).unwrap();
        assert!((solved[0] - 1.0).abs() < 1e-9 && (solved[1] - 3.0).abs() < 1e-9);
        assert_eq!(solve(vec![vec![1.0, 2.0, 1.0], vec![2.0, 4.0, 2.0]]), None);
    }
}

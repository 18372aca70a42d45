//! The straight line through points, by least squares. Pure.

/// A line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// By how much it rises along the axis.
    pub slope: f64,
    /// Its value at 0.
    pub at_zero: f64,
}

impl Line {
    /// The line through points (place, value) whose squared distances from it are least in sum. `None`
    /// with fewer than two places.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let products: f64 = points
            .iter()
            .map(|point| (point.0 - x) * (point.1 - y))
            .sum();
        let slope = products / squares;
        (squares > 0.0 && slope.is_finite()).then_some(Self {
            slope,
            at_zero: y - slope * x,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::{Random, normal};

    #[test]
    fn a_line_goes_through_its_own_points() {
        let points = [0.0, 0.25, 1.0, 20.0].map(|x| (x, 150.0 + 1_000.0 * x));
        let line = Line::through(&points).unwrap();
        assert!((line.slope - 1_000.0).abs() < 1e-9);
        assert!((line.at_zero - 150.0).abs() < 1e-9);
    }

    #[test]
    fn the_slope_of_noisy_points_is_right_on_average() {
        let mut random = Random::new(3);
        let slopes = (0..500).map(|_| {
            let points = [0.0, 1.0, 2.0, 5.0].map(|x| (x, 3.0 * x + normal(&mut random)));
            Line::through(&points).unwrap().slope
        });
        let mean = slopes.sum::<f64>() / 500.0;
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn one_place_has_no_line() {
        assert_eq!(Line::through(&[]), None);
        assert_eq!(Line::through(&[(1.0, 2.0)]), None);
        assert_eq!(Line::through(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }
}

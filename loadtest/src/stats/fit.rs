//! Where along an axis, such as the load, two arms change places. Pure.

use super::{
    effect::CONFIDENCE,
    interval::Interval,
    random::Random,
    student::{self, Mean},
};
use crate::results::{Decided, Order};

const RESAMPLES: usize = 1_999;

/// One place on the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Where it is, such as 0.6 of the highest rate.
    pub at: f64,
    /// How far the candidate is above the baseline, by block in the same order at every place: the
    /// difference, or the logarithm of the ratio ([`super::effect::Paired::log_ratios`]), whichever is
    /// straight between two places.
    pub above: Vec<f64>,
}

/// Where two arms are equal, with the 95 % interval of that place. `None` where no change
/// of sign can be told: the ends are not decided on opposite sides, and the interval reaches beyond
/// them. Places are in ascending order; `None` as well with fewer than two of them, or two blocks each.
///
/// Between two places the line is taken for straight. Blocks are drawn with
/// replacement, the same ones at every place, since what a restart did is in all places of its block;
/// what is drawn is spread out as far as Student's quantile exceeds the normal one, because draws from
/// a handful of blocks vary too little.
#[must_use]
pub fn crossing(places: &[Place], seed: u64) -> Option<Interval> {
    let means: Option<Vec<Mean>> = places.iter().map(|place| Mean::of(&place.above)).collect();
    let means = means?;
    let ([first, .., last], [lowest, .., highest]) = (means.as_slice(), places) else {
        return None;
    };
    // Seen as rising: the candidate is the cheaper one at first.
    let direction = (last.value - first.value).signum();
    let axis: Vec<f64> = places.iter().map(|place| place.at).collect();
    let curve: Vec<f64> = means.iter().map(|mean| direction * mean.value).collect();
    let Side::Within(value) = side(&axis, &curve) else {
        return None;
    };
    let (low, high) = interval(places, &means, direction, seed);
    let ends = is_decided(first) && is_decided(last);
    if !ends && (low <= lowest.at || highest.at <= high) {
        return None;
    }
    Some(Interval {
        value,
        low: low.max(lowest.at),
        high: high.min(highest.at),
    })
}

/// Which of two arms has the lower value where: the first, of which the second is so far above, or the
/// second. `crossing` is that of the places.
#[must_use]
pub fn cheaper(places: &[Place], crossing: Option<Interval>) -> Order {
    let means: Option<Vec<Mean>> = places.iter().map(|place| Mean::of(&place.above)).collect();
    let means = means.unwrap_or_default();
    let [first, .., last] = means.as_slice() else {
        return Order::Unclear;
    };
    if crossing.is_some() {
        return match first.value > 0.0 {
            true => Order::AThenB,
            false => Order::BThenA,
        };
    }
    let all = |holds: fn(&Mean) -> bool| means.iter().all(holds);
    match is_decided(first) && is_decided(last) {
        true if all(|mean| mean.value > 0.0) => Order::A,
        true if all(|mean| mean.value < 0.0) => Order::B,
        _ => Order::Unclear,
    }
}

/// Where one of two arms has the lower value although that cannot be told of the whole axis: from the first place
/// on, as far as every place says the same, and so from the last place back.
///
/// Each of the two walks ends at the first place that is undecided or says another. So however many places
/// there are, it says something that is not so in 5 % of the cases at most: a fixed sequence of tests.
#[must_use]
pub fn decided(places: &[Place]) -> Vec<Decided> {
    let lower = |place: &Place| {
        let mean = Mean::of(&place.above).filter(is_decided)?;
        Some(if mean.value > 0.0 { Order::A } else { Order::B })
    };
    let orders: Vec<Option<Order>> = places.iter().map(lower).collect();
    let (near, far) = (alike(orders.iter()), alike(orders.iter().rev()));
    let count = places.len();
    let part = |order, from: usize, to: usize| Decided {
        order,
        from: places[from].at,
        to: places[to].at,
    };
    let mut found = Vec::new();
    found.extend(near.map(|(order, many)| part(order, 0, many - 1)));
    // All of it is the same part twice.
    let far = far.filter(|(_, many)| *many < count);
    found.extend(far.map(|(order, many)| part(order, count - many, count - 1)));
    found
}

/// What the first of a walk says, and how many say so without a break.
fn alike<'a>(mut walk: impl Iterator<Item = &'a Option<Order>>) -> Option<(Order, usize)> {
    let first = walk.next().copied().flatten()?;
    let same = walk.take_while(|one| **one == Some(first));
    Some((first, 1 + same.count()))
}

fn is_decided(mean: &Mean) -> bool {
    mean.value.abs() > mean.half_width(1.0 - CONFIDENCE)
}

fn interval(places: &[Place], means: &[Mean], direction: f64, seed: u64) -> (f64, f64) {
    let mut random = Random::new(seed);
    let axis: Vec<f64> = places.iter().map(|place| place.at).collect();
    let alpha = 1.0 - CONFIDENCE;
    let wider = |mean: &Mean| {
        let student = student::quantile(mean.freedom, alpha) / student::normal_quantile(alpha);
        // The spread of draws is that of a population: divided by the number of blocks.
        student * ((mean.freedom + 1.0) / mean.freedom).sqrt()
    };
    let wider: Vec<f64> = means.iter().map(wider).collect();
    let most = places.iter().map(|place| place.above.len()).max();
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    for _ in 0..RESAMPLES {
        let drawn: Vec<f64> = (0..most.unwrap_or(0)).map(|_| random.unit()).collect();
        let curve: Vec<f64> = places
            .iter()
            .zip(means.iter().zip(&wider))
            .map(|(place, (mean, wider))| {
                let blocks = &place.above;
                let sum: f64 = drawn[..blocks.len()]
                    .iter()
                    .map(|unit| blocks[(unit * blocks.len() as f64) as usize])
                    .sum();
                let off = sum / blocks.len() as f64 - mean.value;
                direction * (mean.value + wider * off)
            })
            .collect();
        let (low, high) = match side(&axis, &curve) {
            Side::Within(at) => (at, at),
            Side::Below => (f64::NEG_INFINITY, f64::NEG_INFINITY),
            Side::Beyond => (f64::INFINITY, f64::INFINITY),
            Side::Opposite => (f64::NEG_INFINITY, f64::INFINITY),
        };
        lows.push(low);
        highs.push(high);
    }
    lows.sort_by(f64::total_cmp);
    highs.sort_by(f64::total_cmp);
    let cut = (alpha / 2.0 * RESAMPLES as f64) as usize;
    (lows[cut], highs[RESAMPLES - 1 - cut])
}

/// Where a curve that rises on the whole passes 0.
enum Side {
    Within(f64),
    /// It is above at both ends.
    Below,
    /// It is below at both ends.
    Beyond,
    /// It falls.
    Opposite,
}

fn side(axis: &[f64], curve: &[f64]) -> Side {
    let (first, last) = (curve[0], curve[curve.len() - 1]);
    match (first < 0.0, last > 0.0) {
        (false, true) => return Side::Below,
        (true, false) => return Side::Beyond,
        (false, false) => return Side::Opposite,
        (true, true) => {}
    }
    // An odd number; the middle one where noise made several of one.
    let crossings: Vec<f64> = (1..curve.len())
        .filter(|right| (curve[right - 1] < 0.0) != (curve[*right] < 0.0))
        .map(|right| {
            let (low, high) = (curve[right - 1], curve[right]);
            axis[right - 1] + (axis[right] - axis[right - 1]) * low / (low - high)
        })
        .collect();
    Side::Within(crossings[crossings.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::normal;

    const LOADS: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

    /// A ratio of 1.15 at 0.2 that falls by the given logarithm per load; half of the noise is common
    /// to all loads of a block.
    fn measure(random: &mut Random, blocks: usize, at_first: f64, slope: f64) -> Vec<Place> {
        let common: Vec<f64> = (0..blocks).map(|_| 0.02 * normal(random)).collect();
        LOADS
            .map(|at| Place {
                at,
                above: common
                    .iter()
                    .map(|common| at_first + slope * (at - 0.2) + common + 0.02 * normal(random))
                    .collect(),
            })
            .to_vec()
    }

    #[test]
    fn a_change_of_sign_is_told_with_an_interval_that_holds_it() {
        for (first, slope) in [(0.15, -0.5), (-0.15, 0.5)] {
            for blocks in [3, 8] {
                let mut random = Random::new(31);
                let (mut told, mut covered) = (0, 0);
                for run in 0..100 {
                    let places = measure(&mut random, blocks, first, slope);
                    let Some(found) = crossing(&places, run) else {
                        continue;
                    };
                    told += 1;
                    covered += usize::from(found.low <= 0.5 && 0.5 <= found.high);
                }
                assert!(told >= if blocks == 3 { 50 } else { 95 }, "{told}");
                assert!(covered * 100 >= told * 90, "{covered} of {told}, {blocks}");
            }
        }
    }

    #[test]
    fn without_a_change_none_is_told() {
        // Identical arms; one that is always a little cheaper; one whose lead shrinks to nothing.
        for (first, slope) in [(0.0, 0.0), (-0.05, 0.0), (0.15, -0.25)] {
            let mut random = Random::new(32);
            let told = (0..200).filter(|run| {
                let places = measure(&mut random, 4, first, slope);
                crossing(&places, *run).is_some()
            });
            let told = told.count();
            assert!(told <= 10, "{told} {first} {slope}");
        }
    }

    #[test]
    fn one_place_or_one_block_says_nothing() {
        let place = |at, logs: &[f64]| Place {
            at,
            above: logs.to_vec(),
        };
        assert_eq!(crossing(&[place(0.2, &[0.1, 0.1])], 1), None);
        assert_eq!(
            crossing(&[place(0.2, &[0.1]), place(0.8, &[-0.1])], 1),
            None
        );
        let sure = [place(0.2, &[0.1, 0.1]), place(0.8, &[-0.1, -0.1])];
        let found = crossing(&sure, 1).unwrap();
        assert!((found.value - 0.5).abs() < 1e-9 && found.low == found.high);
    }

    #[test]
    fn who_costs_less_is_said_when_it_is_beyond_doubt_and_otherwise_not() {
        let (dearer, cheaper_one) = ([0.3, 0.31, 0.29], [-0.3, -0.31, -0.29]);
        let doubtful = [0.3, -0.4, 0.2];
        for (ends, wanted) in [
            ([dearer, dearer], Order::A),
            ([cheaper_one, cheaper_one], Order::B),
            ([dearer, cheaper_one], Order::AThenB),
            ([cheaper_one, dearer], Order::BThenA),
            ([dearer, doubtful], Order::Unclear),
        ] {
            let place = |at, above: [f64; 3]| Place {
                at,
                above: above.to_vec(),
            };
            let places = [place(1.0, ends[0]), place(2.0, ends[1])];
            let crossing = crossing(&places, 1);
            assert_eq!(cheaper(&places, crossing), wanted, "{ends:?}");
        }
        assert_eq!(cheaper(&[], None), Order::Unclear);
    }

    #[test]
    fn what_is_decided_on_a_part_of_the_axis_is_told_of_that_part() {
        let (dearer, less, doubtful) = ([0.3, 0.31, 0.29], [-0.3, -0.31, -0.29], [0.3, -0.4, 0.2]);
        let part = |order, from, to| Decided { order, from, to };
        use Order::{A, B};
        for (curve, wanted) in [
            (vec![doubtful, dearer, dearer], vec![part(A, 1.0, 2.0)]),
            (vec![less, doubtful, doubtful], vec![part(B, 0.0, 0.0)]),
            (
                vec![dearer, dearer, doubtful, dearer],
                vec![part(A, 0.0, 1.0), part(A, 3.0, 3.0)],
            ),
            // Beyond a place that is undecided nothing is told, however sure it looks.
            (vec![doubtful, dearer, doubtful], vec![]),
            (
                vec![less, dearer],
                vec![part(B, 0.0, 0.0), part(A, 1.0, 1.0)],
            ),
            (vec![dearer, dearer], vec![part(A, 0.0, 1.0)]),
            (vec![], vec![]),
        ] {
            let places = curve.into_iter().enumerate().map(|(at, above)| Place {
                at: at as f64,
                above: above.to_vec(),
            });
            assert_eq!(decided(&places.collect::<Vec<_>>()), wanted);
        }
    }

    #[test]
    fn of_identical_arms_hardly_ever_a_part_is_called_decided() {
        let mut random = Random::new(33);
        let told = (0..400).filter(|_| !decided(&measure(&mut random, 4, 0.0, 0.0)).is_empty());
        // Two walks of 5 % each.
        let told = told.count();
        assert!(told <= 52, "{told} of 400");
    }
}

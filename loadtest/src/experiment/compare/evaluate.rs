//! What the windows say: points, comparisons with the baseline, how they change with load.

use std::collections::BTreeMap;

use super::blocks::Measured;
use crate::{
    metrics::{METRICS, Metric, Observation},
    results::{Change, Comparison, Conditions, Drift, Estimate, Point, Trend, Verdict, Window},
    stats::{
        drift,
        effect::{CONFIDENCE, EQUIVALENCE_MARGIN, Effect, Paired},
        family::{Row, Settings, family},
        fit::{self, Place},
        interval::{self, Interval},
    },
};

/// What was measured, of whom, under what.
pub(super) struct Evaluation<'a> {
    /// Names of the arms; the first is the baseline.
    pub(super) arms: &'a [String],
    /// Index of the arm that is the baseline once more.
    pub(super) floor: Option<usize>,
    pub(super) conditions: &'a [Conditions],
    pub(super) measured: &'a [Measured],
    pub(super) seed: u64,
}

impl Evaluation<'_> {
    pub(super) fn windows(&self) -> Vec<Window> {
        let window = |one: &Measured| Window {
            arm: self.arms[one.arm].clone(),
            block: one.block,
            place: one.place,
            started_at_seconds: one.started_at_seconds,
            conditions: self.conditions[one.conditions].clone(),
            requests: one.seen.scheduled,
            metrics: METRICS
                .iter()
                .filter_map(|metric| Some((metric.id.to_owned(), (metric.value)(&one.seen)?)))
                .collect(),
            answers: one.seen.answers(),
            histograms: one.seen.histograms(),
        };
        self.measured.iter().map(window).collect()
    }

    /// All arms but the one that repeats the baseline are points of the curves; that one too, so that
    /// its spread can be seen.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for arm in 0..self.arms.len() {
            for which in 0..self.conditions.len() {
                points.extend(self.point(arm, which));
            }
        }
        points
    }

    /// Everything that was seen of an arm under one of the conditions.
    pub(super) fn merged(&self, arm: usize, which: usize) -> Option<Observation> {
        let mut windows = self.windows_of(arm, which);
        let mut merged = windows.next()?.seen.clone();
        for window in windows {
            merged.add(&window.seen);
        }
        Some(merged)
    }

    fn windows_of(&self, arm: usize, which: usize) -> impl Iterator<Item = &Measured> {
        let windows = self.measured.iter();
        windows.filter(move |one| one.arm == arm && one.conditions == which)
    }

    fn point(&self, arm: usize, which: usize) -> Option<Point> {
        let merged = self.merged(arm, which)?;
        let estimate = |metric: &Metric| {
            let value = (metric.value)(&merged)?;
            let windows: Option<Vec<f64>> = self
                .windows_of(arm, which)
                .map(|one| (metric.value)(&one.seen))
                .collect();
            // The spread over blocks belongs around the value of all of them together.
            let spread = interval::mean(&windows?, CONFIDENCE);
            let around = |end: fn(&Interval) -> f64| {
                spread
                    .as_ref()
                    .map(|spread| value * end(spread) / spread.value)
            };
            Some(Estimate {
                value,
                low: around(|spread| spread.low),
                high: around(|spread| spread.high),
                supported: metric.is_supported(merged.scheduled),
            })
        };
        let metrics: BTreeMap<String, Estimate> = METRICS
            .iter()
            .filter_map(|metric| Some((metric.id.to_owned(), estimate(metric)?)))
            .collect();
        Some(Point {
            arm: self.arms[arm].clone(),
            conditions: self.conditions[which].clone(),
            requests: merged.scheduled,
            metrics,
            answers: merged.answers(),
            response_time: merged.response_time.summary(true),
            service_time: merged.service_time.summary(true),
            send_lag: merged.send_lag.summary(false),
        })
    }

    /// The arms that are compared with the baseline.
    fn candidates(&self) -> impl Iterator<Item = usize> {
        (1..self.arms.len()).filter(|arm| Some(*arm) != self.floor)
    }

    /// Pairs of the baseline's and another arm's windows, by block.
    pub(super) fn paired(&self, metric: &Metric, arm: usize, which: usize) -> Option<Paired> {
        let blocks = self.measured.iter().map(|one| one.block).max()? + 1;
        let value = |arm: usize, block: u32| {
            let mut windows = self.windows_of(arm, which);
            let window = windows.find(|one| one.block == block)?;
            (metric.value)(&window.seen)
        };
        let pairs = (0..blocks).map(|block| Some(vec![(value(0, block)?, value(arm, block)?)]));
        Some(Paired {
            blocks: pairs.collect::<Option<_>>()?,
        })
    }

    /// Every comparison. The headline rows are one family for Holm's procedure, all others another.
    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let mut rows = Vec::new();
        for which in 0..self.conditions.len() {
            for arm in self.candidates() {
                for metric in METRICS {
                    rows.extend(self.row(metric, arm, which));
                }
            }
        }
        let settings = Settings::new(self.seed);
        let (headline, others): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(of, _)| of.metric.headline && of.supported);
        let mut found = Vec::new();
        for part in [headline, others] {
            let (named, rows): (Vec<Named>, Vec<Row>) = part.into_iter().unzip();
            let effects = family(&rows, &settings);
            for (of, effect) in named.into_iter().zip(effects) {
                found.extend(effect.map(|effect| (of, effect)));
            }
        }
        found.sort_by_key(|(of, _)| (of.which, of.arm, of.place));
        let told = found.into_iter();
        told.map(|(of, effect)| self.told(&of, &effect, settings.margin))
            .collect()
    }

    /// Of the headline comparisons so far, for the rule that ends a run by its precision.
    pub(super) fn headline_effects(&self) -> Vec<Option<Effect>> {
        let mut rows = Vec::new();
        for which in 0..self.conditions.len() {
            for arm in self.candidates() {
                for metric in METRICS.iter().filter(|metric| metric.headline) {
                    rows.extend(self.row(metric, arm, which).map(|(_, row)| row));
                }
            }
        }
        family(&rows, &Settings::new(self.seed))
    }

    fn row(&self, metric: &'static Metric, arm: usize, which: usize) -> Option<(Named, Row)> {
        let requests = |arm| -> u64 {
            let windows = self.windows_of(arm, which);
            windows.map(|one| one.seen.scheduled).sum()
        };
        let of = Named {
            metric,
            place: METRICS.iter().position(|one| one.id == metric.id)?,
            arm,
            which,
            supported: metric.is_supported(requests(0).min(requests(arm))),
        };
        let floor = self
            .floor
            .and_then(|floor| self.paired(metric, floor, which));
        let row = Row {
            paired: self.paired(metric, arm, which)?,
            floor,
        };
        Some((of, row))
    }

    fn told(&self, of: &Named, effect: &Effect, margin: f64) -> Comparison {
        let (baseline, candidate) = (&self.arms[0], &self.arms[of.arm]);
        let verdict = match of.supported {
            true => effect.verdict(),
            false => Verdict::Inconclusive,
        };
        Comparison {
            metric: of.metric.id.to_owned(),
            conditions: self.conditions[of.which].clone(),
            baseline: baseline.clone(),
            candidate: candidate.clone(),
            ratio: effect.ratio,
            ci_low: effect.low,
            ci_high: effect.high,
            confidence: effect.confidence,
            floor_low: effect.floor_low,
            floor_high: effect.floor_high,
            blocks: u32::try_from(effect.blocks).unwrap_or(u32::MAX),
            p_adjusted: Some(effect.p_adjusted),
            detectable_ratio: Some(effect.detectable),
            margin,
            verdict,
            headline: of.metric.headline,
            supported: of.supported,
            reading: reading(of, (baseline, candidate), effect, (verdict, margin)),
        }
    }

    /// How each ratio changes with load, and with the size of the working set.
    pub(super) fn trends(&self) -> Vec<Trend> {
        let mut trends = Vec::new();
        for axis in axes(self.conditions) {
            for arm in self.candidates() {
                for metric in METRICS {
                    trends.extend(self.trend(metric, arm, &axis));
                }
            }
        }
        trends
    }

    fn trend(&self, metric: &Metric, arm: usize, axis: &Axis) -> Option<Trend> {
        let place = |(at, which): &(f64, usize)| {
            Some(Place {
                at: *at,
                above: self.paired(metric, arm, *which)?.log_ratios()?,
            })
        };
        let places: Vec<Place> = axis.places.iter().map(place).collect::<Option<_>>()?;
        let (first, last) = (places.first()?, places.last()?);
        let changes = first.above.iter().zip(&last.above);
        let changes: Vec<f64> = changes.map(|(first, last)| (last - first).exp()).collect();
        let last_to_first = interval::mean(&changes, CONFIDENCE)?;
        let crossing = fit::crossing(&places, self.seed);
        let change = match crossing {
            Some(_) => Change::Sign,
            None if last_to_first.low > 1.0 => Change::Grows,
            None if last_to_first.high < 1.0 => Change::Falls,
            None => Change::Unclear,
        };
        let ratio = |place: &Place| {
            let mean = place.above.iter().sum::<f64>() / place.above.len() as f64;
            mean.exp()
        };
        let (baseline, candidate) = (&self.arms[0], &self.arms[arm]);
        let told = format!(
            "The {} of {candidate} is {:.2} times that of {baseline} at {} and {:.2} times at {}",
            metric.title,
            ratio(first),
            axis.told(first.at),
            ratio(last),
            axis.told(last.at),
        );
        let what = match (change, crossing) {
            (Change::Sign, Some(at)) => format!(
                "the sign changes at {} (95 % CI {} to {})",
                axis.told(at.value),
                axis.told(at.low),
                axis.told(at.high)
            ),
            (Change::Grows, _) => "the ratio grows beyond doubt".to_owned(),
            (Change::Falls, _) => "the ratio falls beyond doubt".to_owned(),
            _ => "no change can be told".to_owned(),
        };
        Some(Trend {
            metric: metric.id.to_owned(),
            baseline: baseline.clone(),
            candidate: candidate.clone(),
            axis: axis.name.to_owned(),
            change,
            crossing: crossing.as_ref().map(estimate),
            last_to_first: Some(estimate(&last_to_first)),
            reading: format!("{told}: {what}."),
        })
    }

    /// Arms whose headline metrics changed while they were measured.
    pub(super) fn drifts(&self) -> Vec<Drift> {
        let mut drifts = Vec::new();
        for arm in 0..self.arms.len() {
            for which in 0..self.conditions.len() {
                for metric in METRICS.iter().filter(|metric| metric.headline) {
                    let moments: Option<Vec<Vec<(f64, f64)>>> = self
                        .windows_of(arm, which)
                        .map(|one| Some(vec![(one.started_at_seconds, (metric.value)(&one.seen)?)]))
                        .collect();
                    let Some(trend) = moments.and_then(|moments| drift::trend(&moments)) else {
                        continue;
                    };
                    drifts.push(Drift {
                        arm: self.arms[arm].clone(),
                        conditions: self.conditions[which].clone(),
                        metric: metric.id.to_owned(),
                        last_to_first: estimate(&trend.change),
                        drifted: trend.is_beyond(EQUIVALENCE_MARGIN),
                    });
                }
            }
        }
        drifts
    }
}

fn estimate(of: &Interval) -> Estimate {
    Estimate {
        value: of.value,
        low: Some(of.low),
        high: Some(of.high),
        supported: true,
    }
}

/// Conditions that differ in one thing only, ascending.
struct Axis {
    name: &'static str,
    /// Value on the axis, and which conditions.
    places: Vec<(f64, usize)>,
}

impl Axis {
    fn told(&self, at: f64) -> String {
        match self.name {
            "load" => format!("{at:.2} of the highest rate"),
            _ => format!("{at:.0} logins"),
        }
    }
}

/// The loads of each working set and mixture, and the working sets of each load and mixture.
fn axes(conditions: &[Conditions]) -> Vec<Axis> {
    let load = |of: &Conditions| of.load;
    let working_set = |of: &Conditions| Some(f64::from(of.working_set));
    let but_load = |of: &Conditions| (of.working_set, 0, of.mix.clone());
    let but_working_set = |of: &Conditions| (0, of.rate_per_second.to_bits(), of.mix.clone());
    let mut found = axis("load", conditions, load, but_load);
    found.extend(axis(
        "working_set",
        conditions,
        working_set,
        but_working_set,
    ));
    found
}

fn axis<K: Ord>(
    name: &'static str,
    conditions: &[Conditions],
    at: impl Fn(&Conditions) -> Option<f64>,
    rest: impl Fn(&Conditions) -> K,
) -> Vec<Axis> {
    let mut groups = BTreeMap::<K, Vec<(f64, usize)>>::new();
    for (which, one) in conditions.iter().enumerate() {
        if let Some(at) = at(one) {
            groups.entry(rest(one)).or_default().push((at, which));
        }
    }
    let several = groups.into_values().filter(|places| places.len() > 1);
    several
        .map(|mut places| {
            places.sort_by(|one, other| one.0.total_cmp(&other.0));
            Axis { name, places }
        })
        .collect()
}

/// Which row it is.
struct Named {
    metric: &'static Metric,
    /// Place of the metric in its table.
    place: usize,
    arm: usize,
    which: usize,
    supported: bool,
}

fn reading(
    of: &Named,
    (baseline, candidate): (&str, &str),
    effect: &Effect,
    (verdict, margin): (Verdict, f64),
) -> String {
    let title = of.metric.title;
    if !of.supported {
        return format!(
            "The {title} of {candidate} and {baseline} cannot be compared: fewer than 100 requests lie above it."
        );
    }
    let interval = format!(
        "{:.1} % CI {:.2} to {:.2}",
        effect.confidence * 100.0,
        effect.low,
        effect.high
    );
    match verdict {
        Verdict::Higher | Verdict::Lower => format!(
            "The {title} of {candidate} is {:.2} times that of {baseline} ({interval}).",
            effect.ratio
        ),
        Verdict::Equivalent => format!(
            "The {title} of {candidate} and {baseline} is the same to within {:.0} % ({interval}).",
            (margin - 1.0) * 100.0
        ),
        Verdict::Inconclusive => format!(
            "The {title} of {candidate} and {baseline} cannot be told apart ({interval}); a ratio of {:.2} would have been found.",
            effect.detectable
        ),
    }
}

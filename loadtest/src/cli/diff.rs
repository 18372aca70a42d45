//! `loadtest diff`.
//!
//! Exit codes: 0 done; 1 a ratio is above `--max-ratio` beyond doubt; 2 the runs cannot be compared, or
//! a file is no results.json; 4 `--max-ratio` was given and a ratio may be above it or not.

use std::process::ExitCode;

use super::{EXIT_INCONCLUSIVE, EXIT_THRESHOLD, arguments::DiffArgs, print};
use crate::{
    experiment::across::{self, Change, Difference},
    report::numbers::ratio,
    results::{Better, Conditions, Results, ThresholdOutcome, Verdict},
};

/// As for arguments that make no sense together.
const EXIT_USAGE: u8 = 2;

impl DiffArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (earlier, later) = match (Results::read(&self.earlier), Results::read(&self.later)) {
            (Ok(earlier), Ok(later)) => (earlier, later),
            (Err(error), _) | (_, Err(error)) => return refused(&error.to_string()),
        };
        let differences = across::differences(&earlier, &later);
        print(&listed(&differences))?;
        if differences.iter().any(|one| one.obstacle) && !self.force {
            return refused(
                "These runs are not comparable: the machine or the way of measuring differs. --force \
                 compares them nevertheless.",
            );
        }
        let changes = across::changes(&earlier, &later);
        if changes.is_empty() {
            return refused(&format!(
                "The two runs have no arm under the same conditions.\nearlier: {}\nlater: {}\n\
                 Give both the same --strategy or --arm, and the same --rate.",
                described(&earlier),
                described(&later)
            ));
        }
        print(&table(&changes))?;
        let Some(limit) = self.max_ratio else {
            return Ok(ExitCode::SUCCESS);
        };
        let outcomes: Vec<ThresholdOutcome> = changes
            .iter()
            .filter_map(|one| judged(one, limit))
            .collect();
        Ok(if outcomes.contains(&ThresholdOutcome::Fails) {
            ExitCode::from(EXIT_THRESHOLD)
        } else if outcomes.contains(&ThresholdOutcome::Unclear) {
            print(&format!(
                "A ratio may be above {limit} or not: longer runs tell, or both versions in one run.\n"
            ))?;
            ExitCode::from(EXIT_INCONCLUSIVE)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn refused(why: &str) -> anyhow::Result<ExitCode> {
    print(&format!("{why}\n"))?;
    Ok(ExitCode::from(EXIT_USAGE))
}

/// Whether a quantity that should be low has risen by more than `limit`; `None` for others.
fn judged(change: &Change, limit: f64) -> Option<ThresholdOutcome> {
    if change.metric.better != Better::Lower {
        return None;
    }
    Some(match change.effect {
        Some(effect) if effect.low > limit => ThresholdOutcome::Fails,
        Some(effect) if effect.high <= limit => ThresholdOutcome::Holds,
        _ => ThresholdOutcome::Unclear,
    })
}

fn listed(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "Nothing that was recorded differs between the runs.\n\n".to_owned();
    }
    let mut out =
        "What differs between the runs (! makes them no comparison of versions)\n".to_owned();
    for one in differences {
        let mark = if one.obstacle { '!' } else { ' ' };
        out += &format!("{mark} {}: {} → {}\n", one.what, one.earlier, one.later);
    }
    out + "\n"
}

fn described(results: &Results) -> String {
    let arms = results.plan.arms.iter().map(|arm| arm.name.clone());
    let conditions = results.plan.conditions.iter().map(under);
    format!(
        "{}; {}",
        arms.collect::<Vec<_>>().join(", "),
        conditions.collect::<Vec<_>>().join(", ")
    )
}

fn under(conditions: &Conditions) -> String {
    let mut told = format!("{:.0}/s", conditions.rate_per_second);
    if conditions.mix != "me" {
        told += &format!(" {}", conditions.mix);
    }
    format!("{told}, {} logins", conditions.working_set)
}

fn table(changes: &[Change]) -> String {
    let mut out = format!("{:58}{:>15}  {}\n", "", "later ÷ earlier", "95 % CI");
    let mut last = String::new();
    for change in changes {
        let group = format!("{} at {}", change.arm, under(&change.conditions));
        if group != last {
            out += &format!("{group}\n");
            last = group;
        }
        let told = match change.effect {
            None => "too few blocks".to_owned(),
            Some(effect) => format!(
                "{:>15}  [{}, {}] {}",
                ratio(effect.ratio),
                ratio(effect.low),
                ratio(effect.high),
                word(change.verdict())
            ),
        };
        out += &format!("  {:56}{told}\n", change.metric.title);
    }
    out + "What changed on the machine between the runs is in the ratios and not in the intervals:\n\
           below 5 % nothing is called a difference. For more, interleave both versions in one run\n\
           (compare --arm).\n"
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Higher => "higher",
        Verdict::Lower => "lower",
        Verdict::Equivalent => "equal",
        Verdict::Inconclusive => "unclear",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics, stats::effect};

    fn change(metric: &str, later: f64) -> Change {
        let (earlier, later) = ([100.0, 101.0, 99.0], [later, later * 1.01, later * 0.99]);
        Change {
            arm: "jwt".to_owned(),
            conditions: Conditions {
                load: None,
                rate_per_second: 2_000.0,
                working_set: 32,
                mix: "me".to_owned(),
            },
            metric: metrics::named(metric).unwrap(),
            effect: effect::unpaired(&earlier, &later),
        }
    }

    #[test]
    fn only_what_is_higher_than_the_limit_beyond_doubt_fails() {
        use ThresholdOutcome::{Fails, Holds, Unclear};
        assert_eq!(judged(&change("p99", 130.0), 1.2), Some(Fails));
        assert_eq!(judged(&change("p99", 130.0), 1.3), Some(Unclear));
        assert_eq!(judged(&change("p99", 130.0), 1.5), Some(Holds));
        assert_eq!(judged(&change("p99", 70.0), 1.2), Some(Holds));
        assert_eq!(judged(&change("achieved", 130.0), 1.2), None);
    }

    #[test]
    fn a_small_difference_is_not_called_one_however_sure() {
        let small = change("p50", 104.0);
        assert_eq!(small.verdict(), Verdict::Inconclusive);
        assert!(table(&[small]).contains("unclear"));
    }
}

//! `loadtest diff`.

use std::process::ExitCode;

use super::{EXIT_INCONCLUSIVE, EXIT_THRESHOLD, arguments::DiffArgs, print};
use crate::{
    experiment::compare::across::{self, Change},
    results::v2::{Results, Validity, Verdict},
};

impl DiffArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (earlier, later) = (Results::read(&self.earlier)?, Results::read(&self.later)?);
        let mut obstacles = across::obstacles(&earlier, &later);
        for (path, results) in [(&self.earlier, &earlier), (&self.later, &later)] {
            if results.validity == Validity::Invalid {
                obstacles.push(format!("{} is INVALID", path.display()));
            }
        }
        for obstacle in &obstacles {
            print(&format!("{obstacle}\n"));
        }
        if !obstacles.is_empty() && !self.force {
            print("These runs are not comparable; --force compares them nevertheless.\n");
            return Ok(ExitCode::from(EXIT_INCONCLUSIVE));
        }
        let changes = across::changes(&earlier, &later);
        anyhow::ensure!(
            !changes.is_empty(),
            "the two runs have no strategy in common"
        );
        print(&table(&changes));
        let failed = changes.iter().any(|change| fails(change, self.max_ratio));
        Ok(if failed {
            ExitCode::from(EXIT_THRESHOLD)
        } else if changes.iter().all(|change| change.effect.is_none()) {
            ExitCode::from(EXIT_INCONCLUSIVE)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn fails(change: &Change, limit: Option<f64>) -> bool {
    let (Some(limit), Some(effect)) = (limit, change.effect) else {
        return false;
    };
    change.quantity != "achieved rate"
        && change.verdict() == Verdict::Higher
        && effect.ratio > limit
}

fn table(changes: &[Change]) -> String {
    let mut out = format!(
        "{:26}{:22}{:>10}  {:18}\n",
        "", "", "later ÷ earlier", "95 % CI"
    );
    let mut last = "";
    for change in changes {
        let name = if change.strategy == last {
            ""
        } else {
            &change.strategy
        };
        last = &change.strategy;
        let told = match change.effect {
            None => "too few windows".to_owned(),
            Some(effect) => format!(
                "{:>10.3}  [{:.3}, {:.3}] {}",
                effect.ratio,
                effect.low,
                effect.high,
                word(change.verdict())
            ),
        };
        out += &format!("{name:26}{:22}{told}\n", change.quantity);
    }
    out + "What changed on the machine between the runs is in the ratios and not in the intervals:\n\
           below 5 % nothing is called a difference. For more, interleave both versions in one run.\n"
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
    use crate::stats::effect;

    fn change(quantity: &'static str, later: f64) -> Change {
        let (earlier, later) = ([100.0, 101.0, 99.0], [later, later * 1.01, later * 0.99]);
        Change {
            strategy: "jwt".to_owned(),
            quantity,
            effect: effect::unpaired(&earlier, &later),
        }
    }

    #[test]
    fn only_what_is_higher_beyond_doubt_and_beyond_the_limit_fails() {
        assert!(fails(&change("response time p99", 130.0), Some(1.2)));
        assert!(!fails(&change("response time p99", 130.0), Some(1.5)));
        assert!(!fails(&change("response time p99", 130.0), None));
        assert!(!fails(&change("response time p99", 70.0), Some(1.2)));
        assert!(!fails(&change("achieved rate", 130.0), Some(1.2)));
    }

    #[test]
    fn a_small_difference_is_not_called_one_however_sure() {
        assert_eq!(
            change("response time p50", 104.0).verdict(),
            Verdict::Inconclusive
        );
        assert!(table(&[change("response time p50", 104.0)]).contains("unclear"));
    }
}

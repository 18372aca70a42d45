//! Two runs against each other.

use loadtest::{
    experiment::across::{self, Difference},
    results::{Bound, Culprit, Gate, Results, Validity, Verdict},
};

use super::sample;

fn difference<'a>(differences: &'a [Difference], what: &str) -> &'a Difference {
    let found = differences.iter().find(|one| one.what == what);
    found.unwrap_or_else(|| panic!("{what} is missing in {differences:?}"))
}

/// Every value of a metric of an arm times a factor.
fn scaled(mut results: Results, arm: &str, metric: &str, factor: f64) -> Results {
    for window in &mut results.windows {
        if window.arm == arm {
            let value = window
                .metrics
                .get_mut(metric)
                .expect("a sample has every metric");
            *value *= factor;
        }
    }
    results
}

#[test]
fn what_two_runs_do_not_have_in_common_is_told() {
    let (earlier, mut later) = (sample::two(), sample::two());
    assert_eq!(across::differences(&earlier, &later), []);
    let facts = &mut later.environment.facts;
    facts.insert("algorithm".to_owned(), "EdDSA".to_owned());
    facts.insert("gateway GATEWAY_THREADS".to_owned(), "2".to_owned());
    later.environment.cpu_model = "another".to_owned();
    let differences = across::differences(&earlier, &later);
    assert!(differences[0].obstacle && differences[0].what == "processor");
    assert!(!difference(&differences, "algorithm").obstacle);
    assert!(!difference(&differences, "gateway GATEWAY_THREADS").obstacle);
}

#[test]
fn a_run_that_cannot_be_believed_is_an_obstacle() {
    let (earlier, mut later) = (sample::two(), sample::two());
    later.validity = Validity::Disturbed;
    let differences = across::differences(&earlier, &later);
    let validity = difference(&differences, "validity");
    assert!(validity.obstacle && validity.later == "DISTURBED");
}

#[test]
fn whether_a_file_may_be_believed_follows_from_its_gates_and_not_from_a_better_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let mut results = sample::two();
    let mut gate = Gate::new(Culprit::Machine, "steal", 9.0, Bound::AtMost, 1.0, "%");
    // As somebody would write it who wants to show the figures nevertheless.
    gate.passed = true;
    results.gates.push(gate);
    results.validity = Validity::Valid;
    results.write(&file).unwrap();
    let read = Results::read(&file).unwrap();
    assert_eq!(read.validity, Validity::Disturbed);
    assert!(!read.gates.last().unwrap().passed);
    // A word that says worse is believed.
    results.gates.pop();
    results.validity = Validity::Invalid;
    results.write(&file).unwrap();
    assert_eq!(Results::read(&file).unwrap().validity, Validity::Invalid);
}

#[test]
fn a_change_of_one_arm_is_told_of_that_arm_only() {
    let earlier = sample::two();
    let later = scaled(sample::two(), "session", "cpu_us_per_request", 1.5);
    let changes = across::changes(&earlier, &later);
    assert!(!changes.is_empty());
    for change in changes {
        let changed = change.arm == "session" && change.metric.id == "cpu_us_per_request";
        let ratio = change.effect.map(|effect| effect.ratio).unwrap();
        assert!(
            (ratio - if changed { 1.5 } else { 1.0 }).abs() < 1e-9,
            "{change:?}"
        );
        assert_eq!(change.verdict() == Verdict::Higher, changed, "{change:?}");
    }
}

#[test]
fn the_floors_of_both_runs_widen_the_interval() {
    let with_floor = |floor: f64| {
        let mut results = sample::two();
        for row in &mut results.comparisons {
            (row.floor_low, row.floor_high) = (Some(1.0 / floor), Some(floor));
        }
        results
    };
    let later = scaled(with_floor(1.4), "session", "cpu_us_per_request", 1.5);
    let changes = across::changes(&with_floor(1.4), &later);
    let mut rows = changes.iter();
    let row = rows.find(|one| one.arm == "session" && one.metric.id == "cpu_us_per_request");
    assert_eq!(row.unwrap().verdict(), Verdict::Inconclusive);
}

#[test]
fn only_the_same_conditions_are_compared() {
    let (earlier, mut later) = (sample::two(), sample::two());
    for conditions in later.plan.conditions.iter_mut().chain(
        later
            .windows
            .iter_mut()
            .map(|window| &mut window.conditions),
    ) {
        conditions.mix = "app".to_owned();
    }
    assert!(across::changes(&earlier, &later).is_empty());
}

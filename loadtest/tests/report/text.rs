//! The text for a terminal.

use loadtest::{
    report,
    results::{
        Bound, Conditions, Culprit, Gate, Point, Results, ThresholdOutcome, Validity, Verdict,
    },
};

use crate::sample;

fn text(results: &Results) -> String {
    let text = report::terminal(results);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
        assert_eq!(line, line.trim_end());
    }
    text
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn two_arms_have_a_row_for_each_metric_at_each_load() {
    let text = text(&sample::two());
    assert_has(
        &text,
        &[
            "0.2 of the knee: 4,000/s",
            "0.8 of the knee: 16,000/s",
            "CPU redis",
            "1.180 [1.146, 1.215]",
            "higher  ±2.0 %  3.0 %",
            "lower",
            "unclear",
            "3 × timeout",
            "20,000/s  [18,600, 21,200]",
            "3 × p99 above 50 ms (system)",
            "Redis killed",
            "api-jwt-1",
            "drifted: response time p50 of session: 1.31 ×",
            "left out: No mix was measured.",
            "holds   fail if p99(session) > 5ms",
        ],
    );
    let metrics = loadtest::metrics::infos();
    for metric in metrics {
        let rows = text.lines().filter(|line| line.starts_with(&metric.label));
        assert!(rows.count() >= 4, "{} is missing in\n{text}", metric.label);
    }
    assert!(text.ends_with("VALID: 2 of 2 conditions held.\n"), "{text}");
}

#[test]
fn nine_arms_fit_too_and_none_is_cut() {
    let results = sample::nine();
    let text = text(&results);
    for arm in loadtest::subject::strategy::KNOWN_STRATEGIES {
        // At each of four loads: values in several tables, ratios; then highest rate, lags, faults.
        let lines = text.lines().map(str::trim_start);
        let named = lines.filter(|line| line.split_whitespace().next() == Some(arm));
        assert!(named.count() >= 12, "{arm} is missing in\n{text}");
    }
    assert_has(
        &text,
        &["÷ jwt", "] ↑", "] ↓", "] ?", "] =", "Redis commands"],
    );
}

#[test]
fn every_mix_has_its_tables() {
    let mut results = sample::two();
    let alone = text(&results).matches("0.2 of the knee: 4,000/s").count();
    let app = |conditions: &Conditions| Conditions {
        mix: "app".to_owned(),
        ..conditions.clone()
    };
    let conditions: Vec<_> = results.plan.conditions.iter().map(app).collect();
    let points: Vec<_> = results
        .points
        .iter()
        .map(|point| Point {
            conditions: app(&point.conditions),
            ..point.clone()
        })
        .collect();
    results.plan.conditions.extend(conditions);
    results.points.extend(points);
    let text = text(&results);
    assert_has(&text, &["me, 32 logins", "app, 32 logins"]);
    assert_eq!(text.matches("0.2 of the knee: 4,000/s").count(), 2 * alone);
}

#[test]
fn what_has_too_few_samples_is_in_brackets_and_has_no_verdict() {
    let mut results = sample::two();
    for point in &mut results.points {
        if let Some(p99) = point.metrics.get_mut("response_time_p99") {
            p99.supported = false;
        }
    }
    for one in &mut results.comparisons {
        one.supported = one.metric != "response_time_p99";
    }
    assert_has(&text(&results), &["(706 µs)", "too few"]);
    let results = sample::nine();
    assert_has(&text(&results), &["(2.94 ms)"]);
}

#[test]
fn every_culprit_is_named_with_what_to_do() {
    for (culprit, word, validity) in [
        (Culprit::Instrument, "INVALID", "- instrument: "),
        (Culprit::Machine, "DISTURBED", "- machine: "),
        (Culprit::System, "OVERLOADED", "- system: "),
    ] {
        let mut results = sample::two();
        let gate = Gate::new(culprit, "some_lag", 9_000.0, Bound::AtMost, 1_000.0, "µs")
            .meaning("It was late.", "Give it more.");
        results.gates.push(gate);
        results.validity = Validity::of(&results.gates, false);
        let text = text(&results);
        assert_has(
            &text,
            &[
                validity,
                "some lag is 9,000 µs, and must be ≤ 1,000 µs. It was late. Give it more.",
            ],
        );
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(word), "{last}");
        assert!(last.ends_with("2 of 3 conditions held."), "{last}");
        let page = report::html(&[&results]);
        assert_has(&page, &[word, "It was late.", "Give it more."]);
    }
}

#[test]
fn a_run_that_is_inconclusive_says_which_row_is_unclear() {
    let mut results = sample::two();
    results.validity = Validity::Inconclusive;
    for one in &mut results.comparisons {
        one.verdict = Verdict::Inconclusive;
    }
    assert_has(
        &text(&results),
        &[
            "unclear: ",
            "CPU system against jwt: session at 0.2, 0.4, 0.6 and 0.8 of the knee",
            "cannot be told from jwt",
            "This run cannot tell the arms apart in anything",
            "INCONCLUSIVE",
        ],
    );
}

#[test]
fn what_is_unclear_with_another_mix_is_named_with_it() {
    let mut results = sample::two();
    let mut mixed = results.comparisons.clone();
    for one in &mut mixed {
        one.conditions.mix = "shop".to_owned();
        one.verdict = Verdict::Inconclusive;
    }
    results.comparisons.extend(mixed);
    let wanted = "CPU system against jwt: session at 0.6 of the knee (me, 32 logins) and at 0.2,";
    assert_has(&text(&results), &[wanted]);
}

#[test]
fn each_outcome_of_a_threshold_is_told() {
    let mut results = sample::two();
    results.thresholds = [
        ThresholdOutcome::Holds,
        ThresholdOutcome::Fails,
        ThresholdOutcome::Unclear,
    ]
    .map(|outcome| sample::threshold("ratio(cpu, session, jwt) > 1.3", outcome))
    .to_vec();
    for text in [text(&results), report::html(&[&results])] {
        assert_has(
            &text,
            &["holds", "FAILS", "unclear", "p99 of session is 1.02 ms"],
        );
    }
}

#[test]
fn one_given_rate_and_one_arm_are_told_too() {
    let mut results = sample::two();
    let only = &mut results.plan.conditions;
    only.truncate(1);
    let before = only[0].clone();
    only[0].load = None;
    let after = only[0].clone();
    results.plan.arms.truncate(1);
    results.plan.floor_arm = None;
    results.comparisons.clear();
    results.scale = None;
    for point in &mut results.points {
        if point.conditions == before {
            point.conditions = after.clone();
        }
    }
    let text = text(&results);
    assert_has(&text, &["4,000 requests/s", "response time p50"]);
    assert!(!text.contains('÷'), "{text}");
}

#[test]
fn results_without_the_optional_parts_are_told_too() {
    let results = sample::bare();
    assert_has(&text(&results), &["jwt and session"]);
    assert!(report::html(&[&results]).ends_with("</html>"));
}

#[test]
fn sizes_have_a_row_each_and_a_sentence_for_each_break_even() {
    let results = sample::two();
    assert_has(
        &text(&results),
        &[
            "Size: roles",
            "Size: data of the login, read",
            "3,000 B",
            "our gateway",
            "measured here",
            "large_client_header_buffers 4 8k",
        ],
    );
    let sentences = report::findings(&results);
    for wanted in [
        "Break-even in CPU time of the system per request by roles, 10 roles to 100 roles: jwt and session: \
         40 roles [32 roles, 50 roles], jwt costs less below.",
        "Break-even in size of a request by roles, 10 roles to 100 roles: jwt and session: none, session \
         costs less at every size.",
        "Break-even in CPU time of the system per request by data of the login, read, 300 B to 30.0 KB: \
         jwt and session: none can be told.",
        "Too large to be carried: 30.0 KB: PUT /jwt/cart is answered with 413.",
    ] {
        assert!(
            sentences.iter().any(|one| one == wanted),
            "{wanted}\n{sentences:#?}"
        );
    }
}

#[test]
fn what_holds_of_all_pairs_is_said_once() {
    let mut results = sample::two();
    let sizes = results.sizes.as_mut().unwrap();
    let mut other = sizes.break_even[1].clone();
    other.b = "session-cached".to_owned();
    sizes.break_even.push(other);
    let wanted =
        "10 roles to 100 roles: none, session and session-cached cost less than jwt at every size.";
    let sentences = report::findings(&results);
    assert!(
        sentences.iter().any(|one| one.ends_with(wanted)),
        "{sentences:#?}"
    );
}

#[test]
fn a_race_says_how_many_logins_it_cost() {
    let results = sample::two();
    assert_has(
        &text(&results),
        &["each renews, grace 30 s", "one renews, grace 0 s", "2,000"],
    );
    let sentences = report::findings(&results);
    let said = |wanted: &str| sentences.iter().any(|one| one.contains(wanted));
    assert!(
        said("(each renews, grace 30 s): 2,000 refreshes for 2,000 requests, 0 of them refused"),
        "{sentences:#?}"
    );
    assert!(said("(each renews, grace 0 s)") && said("logins lost: 20 of 20."));
}

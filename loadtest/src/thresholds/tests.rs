use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{metrics::METRICS, results::Results};

fn known() -> Measurable {
    Measurable {
        arms: ["jwt", "session", "own-1"].map(str::to_owned).to_vec(),
        loads: vec![0.2, 0.6],
        highest_rates: true,
        faults: ["redis_hung", "redis_killed"].map(str::to_owned).to_vec(),
        revocations: vec![RevocationKind::Logout],
    }
}

fn conditions(load: f64) -> Value {
    json!({"load": load, "rate_per_second": load * 10_000.0, "working_set": 32, "mix": "me"})
}

fn estimate(value: f64, low: f64, high: f64) -> Value {
    json!({"value": value, "low": low, "high": high, "supported": true})
}

fn point(arm: &str, load: f64, metrics: &Value) -> Value {
    let none = json!({"count": 0, "mean_us": 0.0, "p50_us": 0.0, "p90_us": 0.0, "p99_us": 0.0,
        "p99_9_us": 0.0, "max_us": 0.0});
    json!({"arm": arm, "conditions": conditions(load), "requests": 50_000, "metrics": metrics,
        "answers": {}, "response_time": none, "service_time": none, "send_lag": none})
}

fn arm(name: &str, strategy: &str, own_build: bool) -> Value {
    json!({"name": name, "strategy": strategy, "credential": "token", "path": "/me",
        "variables": {}, "own_build": own_build})
}

/// Made twice; what was seen of the recovery in one of both only.
fn cell(strategy: &str, good: f64, decided_ms: Option<u64>) -> Value {
    let repetition = |decided_ms: Option<u64>| {
        json!({"place": 0, "began_ms": 1_000, "restored_ms": 2_000, "ended_ms": 2_000,
            "offered_in_fault": 5_000, "good_in_fault": 5_000, "unauthorized_in_fault": 0,
            "unauthorized_after": 0, "errors_in_fault": [], "p50_before_us": null,
            "p50_in_fault_us": null, "p99_before_us": null, "p99_in_fault_us": null,
            "logins_lost": 0, "decided_ms": decided_ms, "good_ms": null, "falls_ms": null})
    };
    let decided = decided_ms.map(|ms| json!({"mean": ms, "low": ms, "high": ms + 10, "count": 1}));
    json!({"fault": "redis_killed", "strategy": strategy, "form": "all_at_once",
        "availability": {"mean": good, "low": good - 0.002, "high": (good + 0.001).min(1.0), "count": 2},
        "decided_ms": decided, "good_ms": null, "falls_ms": null, "round_trips": null,
        "unauthorized_in_fault": 0, "predicted": "", "predicted_low": 0.0, "predicted_high": 1.0,
        "as_predicted": true, "surprises": [], "timeline": [],
        "repetitions": [repetition(decided_ms), repetition(decided_ms.filter(|ms| *ms == 0))]})
}

fn lag(strategy: &str, count: usize, lag_ms: f64, unended: u32) -> Value {
    json!({"strategy": strategy, "kind": "logout", "revocations": count,
        "accepted_after": if lag_ms > 0.0 { count } else { 0 }, "unended": unended, "skipped": 0,
        "spacing_ms": 5.0, "p50_ms": lag_ms, "p99_ms": lag_ms, "max_ms": lag_ms,
        "lags_ms": vec![lag_ms; count], "until": null})
}

/// Two arms at two loads, and one with a build of its own; one fault; the lags of logouts.
pub(crate) fn results() -> Results {
    let p99 = |low: f64, high: f64| {
        let mut unsupported = estimate(9_000.0, 8_000.0, 10_000.0);
        unsupported["supported"] = json!(false);
        json!({"response_time_p99": estimate(f64::midpoint(low, high), low, high),
            "response_time_p99_9": unsupported,
            "good": {"value": 1.0, "low": null, "high": null, "supported": true}})
    };
    let comparison = |load: f64, low: f64, high: f64| {
        json!({"metric": "cpu_us_per_request", "conditions": conditions(load), "baseline": "jwt",
            "candidate": "session", "ratio": f64::midpoint(low, high), "ci_low": low,
            "ci_high": high, "confidence": 0.99, "floor_low": 0.99, "floor_high": 1.01,
            "blocks": 10, "p_adjusted": 0.001, "detectable_ratio": 1.04, "margin": 1.05,
            "verdict": "higher", "headline": true, "supported": true, "reading": "It is higher."})
    };
    let written = json!({
        "schema_version": 3,
        "tool": {"name": "loadtest", "version": "0.1.0", "build": "release"},
        "started_at": "2026-01-02T03:04:05Z",
        "duration_seconds": 92.4,
        "environment": {"cpu_model": "any", "cpus": 2, "memory_bytes": 1, "system": "any",
            "load_average_at_start": 0.1, "redis_version": null, "origin": "started", "facts": {}},
        "plan": {"arms": [arm("jwt", "jwt", false), arm("session", "session", false),
                arm("own-1", "jwt", true)],
            "floor_arm": "jwt-again", "quick": false, "replicas": 2, "seed": 1,
            "conditions": [conditions(0.2), conditions(0.6)], "rate_chosen_by": "any",
            "connections": 32, "max_connections": null, "generator_threads": 1, "blocks": 10,
            "window_seconds": 2.5, "warmup_seconds": 0.5, "deadline_ms": 2_000, "restarts": true,
            "left_out": []},
        "self_check": null, "metrics": [], "windows": [],
        "points": [point("jwt", 0.2, &p99(500.0, 700.0)), point("jwt", 0.6, &p99(900.0, 1_200.0)),
            point("session", 0.2, &p99(2_000.0, 3_000.0)),
            point("session", 0.6, &p99(4_000.0, 6_000.0))],
        "comparisons": [comparison(0.2, 1.1, 1.2), comparison(0.6, 1.3, 1.5)],
        "trends": [],
        "capacities": [{"arm": "jwt", "rate_per_second": estimate(20_000.0, 18_000.0, 22_000.0),
                "indicative": false, "answers_per_core_second": null, "searches": []},
            {"arm": "session", "rate_per_second":
                {"value": 19_000.0, "low": null, "high": null, "supported": true},
                "indicative": true, "answers_per_core_second": null, "searches": []}],
        "drifts": [], "memory": [],
        "coupling": {"rate_per_second": 500.0, "deadline_ms": 1_000, "slice_ms": 100,
            "baseline_ms": 1_000, "fault_ms": 1_000, "recovery_ms": 3_000, "replicas": 2,
            "users": 8, "repetitions": 2, "seed": 1,
            "proxy": {"round_trip_ms": 1.0, "p50_us": 1.0, "p99_us": 1.0}, "faults": [],
            "cells": [cell("jwt", 1.0, Some(0)), cell("session", 0.998, Some(200))],
            "new_replicas": [], "short_lives": null},
        "freshness": {"replicas": 3, "access_token_ttl_seconds": 10.0, "leeway_seconds": 2.0,
            "exchange_ttl_seconds": 10.0,
            "lags": [lag("jwt", 200, 11_000.0, 0), lag("session", 400, 0.0, 0)]},
        "gates": [], "validity": "VALID", "thresholds": [], "findings": []
    });
    serde_json::from_value(written).unwrap()
}

#[track_caller]
fn check(expression: &str, outcome: ThresholdOutcome, part: &str) {
    let threshold = Threshold::parse(expression, &known()).unwrap();
    let found = threshold.evaluate(&results());
    assert_eq!(found.outcome, outcome, "{found:?}");
    assert!(found.reading.contains(part), "{}", found.reading);
    assert_eq!(found.expression, expression);
}

#[test]
fn a_metric_fails_holds_or_is_unclear_by_its_interval_at_the_worst_load() {
    use ThresholdOutcome::{Fails, Holds, Unclear};
    check("p99(session) > 3.5ms", Fails, "at load 0.6");
    check(
        "p99(session) > 5ms",
        Unclear,
        "5 ms at load 0.6 with 32 logins (4 ms to 6 ms)",
    );
    check("p99(session) > 7 ms", Holds, "at load 0.2");
    check("p99@0.2(session)>3500us", Holds, "2,500 µs at load 0.2");
    check("response_time_p99 @0.2 ( session ) >= 3500µs", Holds, "");
    check(
        "p99(jwt) < 1s",
        Fails,
        "99th percentile of the response time of jwt",
    );
    check("p99(jwt) <= 0.4ms", Holds, "");
}

#[test]
fn what_was_not_measured_or_not_enough_is_unclear() {
    use ThresholdOutcome::Unclear;
    check("p99_9(session) > 1us", Unclear, "fewer than 100 requests");
    check("cpu(session) > 1us", Unclear, "this was not measured");
    check("p99(own-1) > 1us", Unclear, "it was not measured");
    check("highest_rate(session) < 10", Unclear, "has no interval");
}

#[test]
fn a_ratio_can_be_asked_for_in_both_directions() {
    use ThresholdOutcome::{Fails, Holds, Unclear};
    check("ratio(cpu, session, jwt) > 1.25", Fails, "session ÷ jwt");
    check(
        "ratio@0.6(cpu, session, jwt) > 1.4",
        Unclear,
        "1.40 at load 0.6",
    );
    check("ratio(cpu, session, jwt) > 1.5", Holds, "");
    check("ratio(cpu, jwt, session) < 0.7", Unclear, "(0.67 to 0.77)");
    check("ratio(cpu, jwt, session) < 0.6", Holds, "");
}

#[test]
fn a_fault_is_asked_for_by_its_name() {
    use ThresholdOutcome::{Fails, Holds, Unclear};
    // All of 5 000: that it is never less than all cannot be shown, that it was all can.
    check(
        "good(redis_killed, jwt) < 100%",
        Holds,
        "100 % under load with the others, as counted",
    );
    check(
        "good(redis_killed, session) < 100%",
        Fails,
        "99.8 % under load with the others",
    );
    check(
        "good(redis_killed, session) < 99.8%",
        Unclear,
        "(99.6 % to 99.9 %)",
    );
    check("good(redis_killed, session) < 0.99", Holds, "");
    check("good(jwt) < 100%", Holds, "as counted");
    check(
        "decided_in(redis_killed, jwt) > 100ms",
        Holds,
        "(0 ms to 10.0 ms)",
    );
    // Not seen in one of two repetitions; and in none.
    check(
        "decided_in(redis_killed, session) > 1s",
        Unclear,
        "at least 0.20 s",
    );
    check("good_in(redis_killed, session) > 1s", Fails, "at least 3 s");
    // Its build is not the one whose fault was measured.
    check("good(redis_killed, own-1) < 100%", Unclear, "not measured");
    check("good(redis_hung, jwt) < 100%", Unclear, "not measured");
}

#[test]
fn a_lag_is_bounded_by_as_many_revocations_as_there_were() {
    use ThresholdOutcome::{Fails, Holds, Unclear};
    check(
        "lag_p99(logout, session) > 1s",
        Holds,
        "0 s (0 s to 0.01 s)",
    );
    check(
        "lag_p99(logout, jwt) > 1s",
        Fails,
        "11.0 s (at least 11.0 s, with no upper end)",
    );
    check(
        "lag_p99(logout, jwt) > 20s",
        Unclear,
        "11.0 s (at least 11.0 s, with no upper end)",
    );
    check("lag_p50(logout, jwt) > 20s", Holds, "");
    check("stale(logout, session) > 1%", Holds, "0 %");
    check("stale(logout, session) > 0%", Holds, "as counted");
}

#[test]
fn a_highest_rate_has_the_interval_of_its_searches() {
    check(
        "highest_rate(jwt) < 15000",
        ThresholdOutcome::Holds,
        "20,000",
    );
    check("highest_rate(jwt) < 20000", ThresholdOutcome::Unclear, "");
}

#[track_caller]
fn refused(expression: &str, message: &str) {
    let error = Threshold::parse(expression, &known()).unwrap_err();
    assert_eq!(error.to_string(), format!("{expression}\n{message}"));
}

#[test]
fn an_error_points_at_its_place_and_says_what_is_known() {
    refused(
        "p99(sesion) > 5ms",
        "    ^ \"sesion\" is no arm; known are jwt, session and own-1",
    );
    refused(
        "good(redis_gone, jwt) < 100%",
        "     ^ \"redis_gone\" is no fault; known are redis_hung and redis_killed",
    );
    refused(
        "lag_p99(ban, jwt) > 1s",
        "        ^ \"ban\" is no kind of revocation; known are logout",
    );
    refused(
        "p99@0.4(jwt) > 5ms",
        "    ^ this load is not measured; measured are 0.2 and 0.6",
    );
    refused(
        "p99(jwt) > 5",
        "            ^ a unit is missing: us, µs, ms or s",
    );
    refused(
        "p99(jwt) > 5 kg",
        "             ^ this unit does not fit: us, µs, ms or s",
    );
    refused(
        "good(jwt) < 99",
        "            ^ a share is from 0 to 1, or from 0% to 100%",
    );
    refused(
        "ratio(cpu, session, own-1) > 2",
        "           ^ one of both arms must be the baseline, which is jwt, and the other another",
    );
    refused(
        "ratio(cpu, session, jwt) > 30%",
        "                             ^ this unit does not fit: a plain number is needed",
    );
    refused("p99(jwt, session) > 5ms", "^ it is written p99(ARM)");
    refused(
        "good(a, b, c) < 100%",
        "^ it is written good(ARM) or good(FAULT, ARM)",
    );
    refused(
        "good@0.2(redis_hung, jwt) < 1",
        "     ^ no load can be named here: only metrics of windows and their ratios have one",
    );
    refused("", "^ a metric, such as p99, is needed here");
    refused("p99 > 5ms", "    ^ ( is needed here");
    refused("p99(jwt > 5ms", "        ^ , or ) is needed here");
    refused("p99(jwt) = 5ms", "         ^ >, >=, < or <= is needed here");
    refused(
        "p99(jwt) > much",
        "           ^ a limit, such as 5ms, is needed here",
    );
    let message = Threshold::parse("p98(jwt) > 1s", &known()).unwrap_err();
    let message = message.to_string();
    assert!(
        message.contains("\n^ \"p98\" is no metric; known are p50, p90, p99,"),
        "{message}"
    );
    assert!(
        message.ends_with("highest_rate and answers_per_core_second"),
        "{message}"
    );
}

#[test]
fn what_will_not_be_measured_is_refused_beforehand() {
    let without = Measurable {
        arms: known().arms,
        ..Measurable::default()
    };
    for (expression, why) in [
        ("good(redis_hung, jwt) < 1", "no faults are made"),
        ("lag_p99(logout, jwt) > 1s", "nothing is revoked"),
        ("highest_rate(jwt) < 1", "no highest rate is looked for"),
        ("p99@0.2(jwt) > 1s", "the rate was given"),
    ] {
        let error = Threshold::parse(expression, &without).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn every_metric_and_every_figure_can_be_asked_for() {
    for metric in METRICS {
        let unit = if metric.unit == "µs" { "us" } else { "" };
        for name in [metric.id, metric.alias] {
            for expression in [
                format!("{name}(jwt) > 1{unit}"),
                format!("ratio({name}, session, jwt) > 1"),
            ] {
                Threshold::parse(&expression, &known()).unwrap();
            }
        }
    }
    for figure in FIGURES {
        let arguments = figure
            .arguments
            .replace("METRIC, ARM", "cpu, session")
            .replace("ARM", "jwt")
            .replace("FAULT", "redis_hung")
            .replace("REVOCATION", "logout");
        let unit = if figure.unit == "µs" { "us" } else { "" };
        let expression = format!("{}({arguments}) > 1{unit}", figure.id);
        Threshold::parse(&expression, &known()).unwrap();
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9_@(), <>=.%µ\u{0}-\u{10ffff}]{0,40}") {
        if let Err(error) = Threshold::parse(&text, &known()) {
            prop_assert!(error.to_string().contains('^'));
        }
    }

    #[test]
    fn a_broken_expression_makes_no_panic(
        cut in 0usize..40,
        insert in any::<char>(),
    ) {
        let mut text: Vec<char> = "ratio@0.6(cpu, session, jwt) >= 1.3".chars().collect();
        let cut = cut.min(text.len());
        text.insert(cut, insert);
        let _ = Threshold::parse(&text.into_iter().collect::<String>(), &known());
    }

    #[test]
    fn a_condition_fails_only_where_its_opposite_holds(
        low in 0.0f64..2.0,
        width in 0.0f64..1.0,
        limit in 0.0f64..3.0,
    ) {
        let mut results = results();
        results.comparisons.truncate(1);
        results.comparisons[0].ci_low = low;
        results.comparisons[0].ci_high = low + width;
        let outcome = |operator: &str| {
            let text = format!("ratio(cpu, session, jwt) {operator} {limit}");
            Threshold::parse(&text, &known()).unwrap().evaluate(&results).outcome
        };
        use ThresholdOutcome::{Fails, Holds, Unclear};
        for (one, opposite) in [(">", "<="), (">=", "<")] {
            let expected = match outcome(one) {
                Fails => Holds,
                Holds => Fails,
                Unclear => Unclear,
            };
            prop_assert_eq!(outcome(opposite), expected);
        }
    }
}

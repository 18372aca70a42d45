use super::*;
use crate::{
    disturb::fault::FAULTS,
    results::coupling::{Interval, Repetition},
    subject::strategy::KNOWN_STRATEGIES,
};

const AT: Circumstances = Circumstances {
    replicas: 2,
    fault: Duration::from_secs(8),
    slice: Duration::from_millis(100),
    watched: Duration::from_secs(4),
    exchange: Duration::from_secs(10),
    token: Duration::from_secs(900),
    leeway: Duration::from_secs(30),
    refresh_at: 0.8,
    pause: Duration::from_secs(1),
};

fn of(fault: &str, strategy: &str) -> Expected {
    expected(Fault::named(fault).unwrap(), strategy, &AT).unwrap()
}

fn once(good_ms: Option<u64>) -> Repetition {
    Repetition {
        place: 0,
        began_ms: 1_000,
        restored_ms: 9_000,
        ended_ms: 9_000,
        offered_in_fault: 1_000,
        good_in_fault: 1_000,
        unauthorized_in_fault: 0,
        unauthorized_after: 0,
        errors_in_fault: Vec::new(),
        p50_before_us: None,
        p50_in_fault_us: None,
        p99_before_us: None,
        p99_in_fault_us: None,
        logins_lost: 0,
        decided_ms: good_ms,
        good_ms,
        falls_ms: None,
    }
}

fn share(mean: f64) -> Interval {
    Interval {
        mean,
        low: mean,
        high: mean,
        count: 1,
    }
}

#[test]
fn every_strategy_has_a_prediction_for_every_fault() {
    for strategy in KNOWN_STRATEGIES {
        for fault in &FAULTS {
            let found = expected(fault, strategy, &AT);
            let found = found.unwrap_or_else(|| panic!("{strategy}: {}", fault.id));
            assert!(found.good.0 <= found.good.1, "{strategy}: {}", fault.id);
        }
    }
}

#[test]
fn a_variant_is_predicted_as_its_base() {
    for fault in &FAULTS {
        assert_eq!(
            expected(fault, "jwt-remembered", &AT),
            expected(fault, "jwt", &AT)
        );
    }
}

#[test]
fn the_rows_say_what_the_table_of_verdicts_says() {
    assert_eq!(of("redis_hung", "jwt").text, "unaffected");
    assert_eq!(of("redis_hung", "session").text, "503");
    assert_eq!(
        of("redis_hung", "session-cached").text,
        "200 for 0.5 to 0.9 s, then 503"
    );
    assert_eq!(
        of("redis_killed", "session-cached").text,
        "503; then 401: lost"
    );
    assert_eq!(
        of("redis_hung", "jwt-revocable").text,
        "200 for 3.6 to 5.1 s, then 503"
    );
    assert_eq!(
        of("redis_killed", "introspection").text,
        "503; then 401: lost"
    );
    assert_eq!(of("auth_killed", "session").text, "unaffected");
    assert_eq!(of("auth_killed", "introspection").text, "503");
    assert_eq!(
        of("auth_killed", "jwt-revocable").text,
        "200 for 3.6 to 5.1 s, then 503"
    );
    assert_eq!(
        of("auth_hung", "phantom").text,
        "200 for 1.8 to 9 s, then 503"
    );
    assert_eq!(of("redis_slow", "session").text, "later by 1 round trip");
    assert_eq!(of("redis_late", "session").text, "503");
}

#[test]
fn a_fault_that_is_shorter_than_what_is_kept_goes_unnoticed() {
    let at = Circumstances {
        fault: Duration::from_secs(2),
        ..AT
    };
    let found = expected(Fault::named("redis_hung").unwrap(), "jwt-revocable", &at).unwrap();
    assert_eq!(found.text, "unaffected for 3.6 to 5.1 s");
    assert_eq!(found.good.1, 1.0);
}

#[test]
fn what_comes_as_predicted_is_no_surprise() {
    let found = of("redis_hung", "jwt").surprises(&share(1.0), None, &[once(Some(0))], &AT);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn each_deviation_is_a_surprise_with_its_figures() {
    let expected = of("redis_slow", "session");
    let mut one = once(Some(2_000));
    one.unauthorized_in_fault = 3;
    let found = expected.surprises(&share(0.5), Some(&share(2.0)), &[one], &AT);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(
        found[0].starts_with("50.0 % available in place of 9"),
        "{found:?}"
    );
    assert_eq!(found[1], "3 × 401 while nobody could know");
    assert!(found[2].contains("2.00 round trips"), "{found:?}");
    assert!(found[3].contains("2000 ms"), "{found:?}");
}

#[test]
fn what_never_comes_back_is_a_surprise_unless_more_time_is_allowed_than_was_watched() {
    let never = [once(None)];
    let expected = of("redis_hung", "session");
    assert!(
        !expected
            .surprises(&share(0.0), None, &never, &AT)
            .is_empty()
    );
    let short = Circumstances {
        watched: Duration::from_millis(500),
        ..AT
    };
    assert!(
        expected
            .surprises(&share(0.0), None, &never, &short)
            .is_empty()
    );
}

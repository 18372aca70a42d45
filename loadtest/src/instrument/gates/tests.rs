//! Synthetic evidence, each with one cause.

use std::time::Duration;

use super::*;
use crate::results::Validity;

/// A point as of a quiet machine at a quarter of the load.
fn point() -> PointEvidence {
    PointEvidence {
        name: "session".to_owned(),
        response_p50_us: Some(200.0),
        response_p99_us: Some(1_000.0),
        send_lag_p50_us: 20.0,
        send_lag_p99_us: 150.0,
        receive_lateness_p99_us: Some(100.0),
        generator_share: 0.3,
        due: 100_000,
        good: 100_000,
        good_in_window: 99_990,
        own_connect_fault: None,
    }
}

fn quiet() -> MachineUse {
    MachineUse {
        elapsed: Duration::from_secs(10),
        cpu_seconds: 20.0,
        other_seconds: 0.2,
        ..MachineUse::default()
    }
}

fn evidence(point: PointEvidence, during: MachineUse) -> Evidence {
    Evidence {
        origin: Origin::Started,
        self_check: Some(SelfCheck {
            target_latency_us: 5_000.0,
            requests: 4_000,
            measured_p50_us: 5_050.0,
            measured_p99_us: 5_200.0,
            p50_error_percent: 1.0,
            p99_error_percent: 4.0,
            cpu_us_per_request: 6.0,
        }),
        points: vec![point],
        at_rest: Some(quiet()),
        during: Some(during),
        ended_by: None,
    }
}

fn verdict(point: PointEvidence, during: MachineUse) -> Validity {
    Validity::of(&of(&evidence(point, during)), false)
}

#[test]
fn a_quiet_run_is_valid() {
    assert_eq!(verdict(point(), quiet()), Validity::Valid);
}

#[test]
fn a_system_that_does_not_keep_up_while_the_generator_is_in_time_is_overloaded() {
    let overloaded = PointEvidence {
        response_p50_us: Some(900_000.0),
        response_p99_us: Some(1_900_000.0),
        // It shares its CPUs with a busy system.
        send_lag_p50_us: 100.0,
        send_lag_p99_us: 6_000.0,
        good: 60_000,
        good_in_window: 60_000,
        ..point()
    };
    assert_eq!(verdict(overloaded, quiet()), Validity::Overloaded);
}

#[test]
fn a_system_that_answers_nothing_is_overloaded() {
    let dead = PointEvidence {
        response_p50_us: None,
        response_p99_us: None,
        good: 0,
        good_in_window: 0,
        ..point()
    };
    assert_eq!(verdict(dead, quiet()), Validity::Overloaded);
}

#[test]
fn a_generator_that_does_not_keep_up_is_invalid_though_the_rate_is_missed_too() {
    let starved = PointEvidence {
        response_p50_us: Some(400_000.0),
        response_p99_us: Some(800_000.0),
        send_lag_p50_us: 399_000.0,
        send_lag_p99_us: 790_000.0,
        generator_share: 0.5,
        good: 95_000,
        good_in_window: 80_000,
        ..point()
    };
    assert_eq!(verdict(starved, quiet()), Validity::Invalid);
}

#[test]
fn a_generator_that_uses_all_of_its_cpu_is_invalid() {
    let busy = PointEvidence {
        generator_share: 0.97,
        ..point()
    };
    assert_eq!(verdict(busy, quiet()), Validity::Invalid);
}

#[test]
fn a_generator_whose_lateness_is_most_of_the_tail_is_invalid() {
    let late = PointEvidence {
        send_lag_p99_us: 800.0,
        ..point()
    };
    assert_eq!(verdict(late, quiet()), Validity::Invalid);
    let unread = PointEvidence {
        receive_lateness_p99_us: Some(25_000.0),
        ..point()
    };
    assert_eq!(verdict(unread, quiet()), Validity::Invalid);
}

#[test]
fn a_self_check_error_counts_beside_the_latency_that_is_measured() {
    let fast = PointEvidence {
        response_p50_us: Some(45.0),
        send_lag_p50_us: 5.0,
        ..point()
    };
    let gates = of(&evidence(fast, quiet()));
    let failed: Vec<&str> = gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(|gate| gate.name.as_str())
        .collect();
    assert_eq!(failed, ["self_check_error_to_p50"]);
}

#[test]
fn a_machine_that_does_other_work_is_disturbed_whether_the_generator_is_late_or_not() {
    let other_work = MachineUse {
        other_seconds: 8.0,
        busiest_other: Some(("rustc".to_owned(), 6.0)),
        ..quiet()
    };
    assert_eq!(verdict(point(), other_work.clone()), Validity::Disturbed);
    let late = PointEvidence {
        send_lag_p99_us: 900.0,
        ..point()
    };
    assert_eq!(verdict(late, other_work.clone()), Validity::Disturbed);
    let gates = of(&evidence(point(), other_work));
    let gate = gates.iter().find(|gate| gate.name == "load_by_others");
    assert!(gate.unwrap().meaning.contains("rustc"));
}

#[test]
fn a_self_check_that_is_off_on_a_machine_that_does_other_work_is_the_machines_fault() {
    let other_work = MachineUse {
        other_seconds: 8.0,
        ..quiet()
    };
    for (during, expected) in [
        (other_work, Validity::Disturbed),
        (quiet(), Validity::Invalid),
    ] {
        let mut off = evidence(point(), during);
        let check = off.self_check.as_mut().unwrap();
        check.p50_error_percent = 40.0;
        check.measured_p50_us = 7_000.0;
        assert_eq!(Validity::of(&of(&off), false), expected);
    }
}

#[test]
fn every_disturbance_of_the_machine_is_named() {
    for (name, disturbed) in [
        (
            "steal",
            MachineUse {
                stolen_seconds: 1.0,
                ..quiet()
            },
        ),
        (
            "throttled",
            MachineUse {
                throttled: Duration::from_secs(1),
                ..quiet()
            },
        ),
        (
            "swapping",
            MachineUse {
                swapped_pages: 1_000,
                ..quiet()
            },
        ),
        (
            "major_faults",
            MachineUse {
                major_faults: 1_000,
                ..quiet()
            },
        ),
        (
            "too_hot",
            MachineUse {
                too_hot: 1,
                ..quiet()
            },
        ),
        (
            "frequency_range",
            MachineUse {
                mhz: Some((2_000.0, 3_500.0)),
                ..quiet()
            },
        ),
    ] {
        let gates = of(&evidence(point(), disturbed));
        let failed: Vec<&Gate> = gates.iter().filter(|gate| !gate.passed).collect();
        assert_eq!(failed.len(), 1, "{name}");
        assert_eq!(failed[0].name, name);
        assert_eq!(Validity::of(&gates, false), Validity::Disturbed);
    }
}

#[test]
fn a_clock_that_was_set_and_a_machine_that_slept_are_the_instruments_fault() {
    let set = MachineUse {
        clock_jump: Duration::from_secs(2),
        ..quiet()
    };
    assert_eq!(verdict(point(), set), Validity::Invalid);
    let slept = MachineUse {
        suspended: Duration::from_secs(60),
        ..quiet()
    };
    assert_eq!(verdict(point(), slept), Validity::Invalid);
}

#[test]
fn the_work_of_a_system_that_was_found_is_not_taken_for_other_work() {
    let busy = MachineUse {
        other_seconds: 15.0,
        ..quiet()
    };
    let found = Evidence {
        origin: Origin::Found,
        ..evidence(point(), busy)
    };
    assert_eq!(Validity::of(&of(&found), false), Validity::Valid);
}

#[test]
fn every_condition_says_what_it_means_and_what_to_do() {
    let all = of(&evidence(
        point(),
        MachineUse {
            mhz: Some((1.0, 1.0)),
            ..quiet()
        },
    ));
    assert_eq!(all.len(), 18);
    for gate in all {
        assert!(!gate.meaning.is_empty() && !gate.advice.is_empty());
    }
}

#[test]
fn a_machine_that_is_busy_before_the_run_is_told_at_once_with_whose_work_it_is() {
    let at_rest = MachineUse {
        elapsed: Duration::from_secs(1),
        cpu_seconds: 2.0,
        other_seconds: 1.0,
        busiest_other: Some(("cc1".to_owned(), 1.0)),
        ..MachineUse::default()
    };
    let warning = busy(&at_rest).unwrap();
    assert!(warning.contains("50 %"), "{warning}");
    assert!(warning.contains("cc1"), "{warning}");
    let idle = MachineUse {
        other_seconds: 0.01,
        ..at_rest
    };
    assert_eq!(busy(&idle), None);
}

//! Files of older versions.

use std::path::{Path, PathBuf};

use loadtest::{
    experiment::across,
    report,
    results::{Culprit, Results, ResultsError, SCHEMA_VERSION, Validity, Verdict},
};

fn file(name: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/data");
    data.join(name)
}

#[test]
fn a_file_of_version_2_is_read_as_one_of_today() {
    let results = Results::read(&file("v2.json")).unwrap();
    assert_eq!(results.schema_version, SCHEMA_VERSION);
    assert_eq!(results.validity, Validity::Valid);
    assert_eq!(results.plan.arms.len(), 2);
    assert_eq!(results.windows.len(), 8);
    assert!(
        results
            .windows
            .iter()
            .all(|window| window.histograms.is_empty())
    );
    let [conditions] = results.plan.conditions.as_slice() else {
        panic!("{:?}", results.plan.conditions);
    };
    assert_eq!(conditions.rate_per_second, 9_280.0);
    let session = results.point("session", conditions).unwrap();
    assert_eq!(session.metrics["response_time_p99"].value, 1_005.0);
    // The gateway's, the API's, that of Redis and the auth-service's; not the generator's.
    assert!((session.metrics["cpu_us_per_request"].value - 89.24).abs() < 0.01);
    let cpu = results
        .comparisons
        .iter()
        .find(|one| one.metric == "cpu_us_per_request");
    let cpu = cpu.unwrap();
    assert_eq!((cpu.verdict, cpu.blocks), (Verdict::Higher, 8));
    assert_eq!((cpu.floor_low, cpu.headline), (None, true));
    assert!(
        results
            .capacities
            .iter()
            .all(|capacity| capacity.indicative)
    );
    assert!(
        results
            .gates
            .iter()
            .all(|gate| gate.culprit != Culprit::Machine)
    );
    assert!(results.freshness.is_some());
}

#[test]
fn older_files_have_a_report_of_today() {
    for name in ["v1.json", "v2.json"] {
        let results = Results::read(&file(name)).unwrap();
        let text = report::terminal(&results);
        for part in [
            "9,280 requests/s",
            "1.154 [1.128, 1.181]",
            "The median of the response time of session is 1.20 times that of jwt",
            "VALID: 5 of 5 conditions held.",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        assert!(report::html(&[&results]).contains("session ÷ jwt"));
    }
}

#[test]
fn a_file_of_version_1_has_no_lags() {
    assert_eq!(Results::read(&file("v1.json")).unwrap().freshness, None);
}

#[test]
fn an_older_file_that_is_read_can_be_written_and_is_one_of_today() {
    let results = Results::read(&file("v1.json")).unwrap();
    let validator = jsonschema::validator_for(&loadtest::results::schema()).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(&results).unwrap()));
}

#[test]
fn a_file_without_what_its_version_has_is_refused_by_name() {
    let written = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(written.path(), r#"{"schema_version": 2, "tool": {}}"#).unwrap();
    let error = Results::read(written.path()).unwrap_err();
    assert!(matches!(error, ResultsError::Form { .. }), "{error}");
}

#[test]
fn runs_of_version_2_are_compared_unless_their_machines_differ() {
    let read = || Results::read(&file("v2.json")).unwrap();
    let (earlier, mut later) = (read(), read());
    assert_eq!(across::differences(&earlier, &later), []);
    for window in &mut later.windows {
        *window.metrics.get_mut("response_time_p50").unwrap() *= 3.0;
    }
    let changes = across::changes(&earlier, &later);
    let mut changes = changes.iter();
    let found = changes.find(|one| one.arm == "jwt" && one.metric.id == "response_time_p50");
    assert_eq!(found.unwrap().verdict(), Verdict::Higher);
    later.environment.cpus = 64;
    assert!(across::differences(&earlier, &later)[0].obstacle);
}

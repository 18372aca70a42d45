//! What is written for readers: the file, its schema, the text and the page.

mod across;
mod capacity;
mod distance;
mod older;
mod page;
mod sample;
mod text;

use loadtest::{
    report,
    results::{Results, Validity},
};

/// The schema that is published with the project.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results.schema.json");

#[test]
fn the_published_schema_is_the_one_of_the_model() {
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    let published: serde_json::Value = serde_json::from_str(&published).unwrap_or_default();
    assert_eq!(
        published,
        loadtest::results::schema(),
        "renew it: cargo run -p loadtest -- schema > docs/results.schema.json"
    );
}

#[test]
fn results_validate_and_a_result_with_a_wrong_field_does_not() {
    let validator = jsonschema::validator_for(&loadtest::results::schema()).unwrap();
    let mut value = serde_json::to_value(sample::two()).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(faults, Vec::<String>::new());
    value["validity"] = "FINE".into();
    assert!(!validator.is_valid(&value));
    value["validity"] = "VALID".into();
    value["points"][0]["response_time"]["p99_us"] = "fast".into();
    assert!(!validator.is_valid(&value));
}

#[test]
fn results_survive_being_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut results = sample::two();
    // As one of its headline rows is.
    results.validity = Validity::Inconclusive;
    let (json, page) = report::write(&results, &folder.path().join("new/folder")).unwrap();
    assert_eq!(Results::read(&json).unwrap(), results);
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .starts_with("<!DOCTYPE html>")
    );
}

#[test]
fn the_sentences_say_how_a_ratio_changes_with_load_and_where_its_sign_does() {
    let sentences = report::findings(&sample::two()).join("\n");
    for part in [
        "CPU time of the whole system per request: session is 1.18 × jwt at 0.2 of the knee [1.15, 1.22] \
         and is 0.88 × jwt at 0.8 of the knee [0.85, 0.91]; the sign changes at 0.56 [0.49, 0.63] of the knee.",
        "jwt against itself: response time p50 ±2.0 %, response time p99 ±9.0 %, CPU system ±2.0 %; nothing \
         smaller is called a difference.",
    ] {
        assert!(
            sentences.contains(part),
            "{part} is missing in\n{sentences}"
        );
    }
}

#[test]
fn many_arms_have_one_sentence_a_metric() {
    let sentences = report::findings(&sample::nine());
    let of_cpu = |sentence: &&String| sentence.starts_with("CPU time of the whole system");
    let found: Vec<_> = sentences.iter().filter(of_cpu).collect();
    let [sentence] = found.as_slice() else {
        panic!("{found:?}");
    };
    for part in [
        "against jwt, at 0.2 and 0.8 of the knee: ",
        "the sign changes at 0.56",
        "phantom 1.30 × and equal",
    ] {
        assert!(sentence.contains(part), "{part} is missing in {sentence}");
    }
}

#[test]
fn a_highest_rate_of_one_search_is_no_finding() {
    let found = |results: &Results| {
        let sentences = report::findings(results);
        sentences
            .iter()
            .any(|one| one.starts_with("Highest rate held"))
    };
    let mut results = sample::two();
    assert!(found(&results));
    for capacity in &mut results.capacities {
        capacity.indicative = true;
    }
    assert!(!found(&results));
    for text in [report::terminal(&results), report::html(&[&results])] {
        assert!(text.contains("ndicative"), "{text}");
    }
}

#[test]
fn a_mix_that_changes_the_sign_is_said_to() {
    let mut results = sample::two();
    let usual = results.plan.conditions[0].clone();
    let mut mixed = usual.clone();
    mixed.mix = "shop".to_owned();
    results.plan.conditions.push(mixed.clone());
    let mut others = results.comparisons.clone();
    others.retain(|one| one.conditions == usual && one.metric == "cpu_us_per_request");
    for one in &mut others {
        one.conditions = mixed.clone();
        (one.ratio, one.ci_low, one.ci_high) = (0.7, 0.68, 0.72);
        one.verdict = loadtest::results::Verdict::Lower;
    }
    results.comparisons.extend(others);
    let wanted = "CPU system of session ÷ jwt by mix, at 0.2 of the knee: 1.18 × with me [1.15, 1.22] and \
                  0.70 × with shop [0.68, 0.72]; the sign changes.";
    let sentences = report::findings(&results);
    assert!(sentences.iter().any(|one| one == wanted), "{sentences:#?}");
    assert!(report::html(&[&results]).contains("Ratios by mix"));
    assert!(report::terminal(&results).contains("Ratios by mix"));
}

#[test]
fn what_the_next_replica_buys_is_said_beside_what_was_predicted() {
    let mut results = sample::two();
    let sentences = report::findings(&results).join("\n");
    for part in [
        "session: observed ÷ predicted within 10 % at 5 of 5 numbers of replicas that the calibration did not see",
        "session: the store is predicted to end it at 5.50 [5.28, 5.72] replicas, and is observed to from 6 on.",
        "jwt over replicas is in proportion: no contention can be told.",
        "session over replicas is Amdahl's law: contention = 0.004",
        "4 replicas of 0.10 processors do 0.97 [0.94, 1.00] × what one of 0.40 does",
        "0 of 720,000 requests failed",
        "jwt was not measured with 12 replicas",
    ] {
        assert!(
            sentences.contains(part),
            "{part} is missing in\n{sentences}"
        );
    }
    let scale = results.scale.as_mut().unwrap();
    scale.points[6].bottleneck = loadtest::results::scale::Component::Gateway;
    scale.limits_set_by = None;
    for text in [report::terminal(&results), report::html(&[&results])] {
        assert!(text.contains("gateway, not api"), "{text}");
        assert!(text.contains("WHOLE MACHINE"), "{text}");
    }
}

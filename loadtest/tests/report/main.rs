//! What is written for readers: the file, its schema, the table and the page.

mod sample;

use loadtest::{
    report,
    results::v2::{Bound, Gate, Results, Validity, Verdict},
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
    let mut value = serde_json::to_value(sample::results()).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(faults, Vec::<String>::new());
    value["validity"] = "FINE".into();
    assert!(!validator.is_valid(&value));
    value["validity"] = "VALID".into();
    value["strategies"][0]["response_time"]["p99_us"] = "fast".into();
    assert!(!validator.is_valid(&value));
}

#[test]
fn results_survive_being_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let results = sample::results();
    let (json, page) = report::write(&results, &folder.path().join("new/folder")).unwrap();
    assert_eq!(Results::read(&json).unwrap(), results);
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .starts_with("<!doctype html>")
    );
}

#[test]
fn the_table_fits_into_a_hundred_columns_and_has_every_row() {
    let table = report::terminal(&sample::results());
    assert_fits(&table);
    for part in [
        "response time p99.9",
        "highest rate held",
        "CPU redis, µs/request",
        "Redis commands/request",
        "1.108 [1.050, 1.170] higher",
        "unclear",
        "Redis killed",
        "api-jwt-1",
        "VALID: 2 of 2 conditions held.",
    ] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
}

#[track_caller]
fn assert_fits(table: &str) {
    for line in table.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn nine_strategies_fit_into_the_table_too_and_none_is_cut() {
    let results = sample::nine();
    let table = report::terminal(&results);
    assert_fits(&table);
    for strategy in &results.plan.strategies {
        // Latency, rate, cost, ratios, lags and faults each name it.
        let lines = table.lines().map(str::trim_start);
        let named = lines.filter(|line| line.split_whitespace().next() == Some(strategy));
        assert!(named.count() >= 5, "{strategy} is missing in\n{table}");
    }
    for part in [
        "÷ jwt",
        "1.11 [1.05, 1.17] ↑",
        "] =",
        "] ?",
        "Redis cmds",
        "highest/s",
        ">",
    ] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
}

#[test]
fn nine_strategies_have_a_page_with_a_colour_each() {
    let results = sample::nine();
    let page = report::html(&results);
    assert!(!page.contains("NaN") && !page.contains("inf\""));
    // Latency, a ratio plot for each of three quantities, rates, capacity, CPU, one fault, two kinds
    // of revocation.
    assert_eq!(page.matches("<svg").count(), 10);
    for colour in 0..9 {
        assert!(page.contains(&format!("\"fill c{colour}\"")), "{colour}");
        assert!(page.contains(&format!("svg .fill.c{colour}")), "{colour}");
    }
    for strategy in &results.plan.strategies {
        assert!(page.contains(&format!("<th>{strategy}</th>")), "{strategy}");
    }
}

#[test]
fn the_lags_are_in_the_table_the_page_and_the_sentences() {
    let results = sample::results();
    let sentences = report::findings(&results).join(" ");
    for part in [
        "After a logout: jwt accepted requests for",
        "until expiry of the token: life 10 s, leeway 2 s",
        "session accepted nothing sent after the answer, in 200 of 200",
    ] {
        assert!(sentences.contains(part), "{part} is missing in {sentences}");
    }
    for text in [report::terminal(&results), report::html(&results)] {
        assert!(
            text.contains("role change") || text.contains("ban"),
            "{text}"
        );
    }
}

#[test]
fn a_file_of_the_first_version_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let mut value = serde_json::to_value(sample::results()).unwrap();
    value["schema_version"] = 1.into();
    value.as_object_mut().unwrap().remove("freshness");
    std::fs::write(&path, value.to_string()).unwrap();
    assert_eq!(Results::read(&path).unwrap().freshness, None);
}

#[test]
fn an_inconclusive_comparison_is_said_to_be_one() {
    let mut results = sample::results();
    for comparison in &mut results.comparisons {
        comparison.verdict = Verdict::Inconclusive;
    }
    let text = report::terminal(&results);
    assert!(text.contains("cannot tell the strategies apart"), "{text}");
}

#[test]
fn a_failed_gate_is_explained_and_decides_the_verdict() {
    let mut results = sample::results();
    let lag = Gate::new("send_lag_p99", 9_000.0, Bound::AtMost, 1_000.0, "µs")
        .meaning("The generator sent late.");
    results.gates.push(lag);
    results.validity = Validity::of(&results.gates);
    assert_eq!(results.validity, Validity::Invalid);
    for text in [report::terminal(&results), report::html(&results)] {
        assert!(text.contains("INVALID"), "{text}");
        assert!(text.contains("The generator sent late."), "{text}");
    }
}

#[test]
fn the_page_is_whole_loads_nothing_and_runs_nothing() {
    let page = report::html(&sample::results());
    for forbidden in [
        "<script", "http://", "https://", "src=", "@import", "url(", "NaN", "inf\"",
    ] {
        assert!(!page.contains(forbidden), "{forbidden} is in the page");
    }
    for (open, close) in [
        ("<svg", "</svg>"),
        ("<table", "</table>"),
        ("<section>", "</section>"),
    ] {
        assert_eq!(page.matches(open).count(), page.matches(close).count());
    }
    // Latency, ratios, rates, capacity, CPU, one timeline for the one fault, two kinds of revocation.
    assert_eq!(page.matches("<svg").count(), 8);
}

#[test]
fn text_from_outside_stays_text() {
    let mut results = sample::results();
    let hostile = "<img src=x onerror=alert(1)>";
    results.environment.cpu_model = hostile.to_owned();
    results.strategies[0].name = hostile.to_owned();
    results.findings = vec![hostile.to_owned()];
    results.gates[0].meaning = hostile.to_owned();
    results.coupling.as_mut().unwrap().faults[0].title = hostile.to_owned();
    assert!(!report::html(&results).contains("<img"));
}

#[test]
fn results_without_the_optional_parts_are_rendered_too() {
    let mut results = sample::results();
    results.coupling = None;
    results.freshness = None;
    results.comparisons.clear();
    results.rounds.clear();
    results.memory.clear();
    results.gates.clear();
    results.self_check = None;
    for strategy in &mut results.strategies {
        strategy.highest_sustainable = None;
        strategy.cpu.clear();
        strategy.redis_commands_per_request = None;
        strategy.response_time.percentiles.clear();
        strategy.service_time.percentiles.clear();
    }
    assert!(report::html(&results).contains("</html>"));
    assert!(report::terminal(&results).contains("response time p50"));
}

#[test]
fn two_runs_are_compared_only_when_they_differ_in_nothing_but_time() {
    use loadtest::experiment::compare::across;
    let (earlier, mut later) = (sample::results(), sample::results());
    assert!(across::obstacles(&earlier, &later).is_empty());
    for round in &mut later.rounds {
        round.p50_us *= 1.5;
    }
    let changes = across::changes(&earlier, &later);
    let of = |strategy: &str, quantity: &str| {
        let mut changes = changes.iter();
        let found = changes.find(|one| one.strategy == strategy && one.quantity == quantity);
        found.unwrap().verdict()
    };
    assert_eq!(of("jwt", "response time p50"), Verdict::Higher);
    assert_eq!(of("session", "response time p99"), Verdict::Equivalent);

    later.environment.cpus = 64;
    later.plan.rate_per_second *= 2.0;
    assert_eq!(across::obstacles(&earlier, &later).len(), 2);
}

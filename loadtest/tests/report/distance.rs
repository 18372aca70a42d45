//! The section *Distance*, in text and on the page.

use loadtest::{
    report,
    results::{Decided, Order, Results},
};

use crate::sample::{bare, distant};

#[test]
fn the_sentences_say_what_a_request_waits_for_and_where_two_cost_the_same() {
    let sentences = report::findings(&distant());
    for wanted in [
        "Round trips that the median request waits for: jwt 0.000 [-0.002, 0.003] and session 1.000 \
         [0.998, 1.003].",
        "jwt and session: the median is lower with session below 0.08 ms [0.07, 0.09] and with jwt beyond \
         it; the CPU time is lower with session at every distance measured.",
        "Over a round trip of 120 ms the median is: jwt 240 µs with 0.26 under way and session 120 ms with \
         132 under way.",
    ] {
        assert!(
            sentences.iter().any(|one| one == wanted),
            "{wanted}\n{sentences:#?}"
        );
    }
    assert!(!report::findings(&bare()).join("").contains("round trip"));
}

#[test]
fn what_cannot_be_told_is_said_to() {
    let mut results = distant();
    let found = results.distance.as_mut().unwrap();
    for one in &mut found.break_even {
        (one.order, one.rtt_ms) = (Order::Unclear, None);
    }
    let sentences = report::findings(&results).join("\n");
    assert!(
        sentences.contains("with which the median is lower cannot be told"),
        "{sentences}"
    );
    assert!(report::terminal(&results).contains("cannot be told"));
}

#[test]
fn where_it_can_be_told_from_a_distance_on_it_is_told_from_there() {
    let mut results = distant();
    let found = results.distance.as_mut().unwrap();
    for one in &mut found.break_even {
        (one.order, one.rtt_ms) = (Order::Unclear, None);
        let part = |order, from, to| Decided { order, from, to };
        one.decided = match one.metric.as_str() {
            "p50" => vec![part(Order::A, 0.25, 20.0)],
            _ => vec![part(Order::B, 0.0, 0.0), part(Order::B, 2.0, 20.0)],
        };
    }
    let sentences = report::findings(&results).join("\n");
    for wanted in [
        "the median is lower with jwt from 0.25 ms to 20 ms, and with which elsewhere cannot be told",
        "the CPU time is lower with session at 0 ms and session from 2 ms to 20 ms, and with which",
    ] {
        assert!(sentences.contains(wanted), "{wanted}\n{sentences}");
    }
    let text = report::terminal(&results);
    assert!(
        text.contains("in part: jwt from 0.25 ms to 20 ms"),
        "{text}"
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn the_text_has_every_figure_within_the_width() {
    let text = report::terminal(&distant());
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
    for part in [
        "1.000 [0.998, 1.003]",
        "0.08 ms [0.07, 0.09], then jwt",
        "none: session",
        "20.2 ms",
        "Over 120 ms",
        "The delay proxy adds 48.0 µs",
        "−1.50 µs and 31.0 µs at 0.25",
        "11,000/s through it",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_proxy_that_was_the_limit_is_told_of_in_place_of_figures() {
    let mut results = distant();
    let found = results.distance.as_mut().unwrap();
    found.points.clear();
    found.slopes.clear();
    found.break_even.clear();
    found.hop.clear();
    let told = "The delay proxy was the limit";
    assert!(report::findings(&results)[0].starts_with(told));
    assert!(report::terminal(&results).contains(told));
    assert!(report::html(&[&results]).contains(told));
}

#[test]
fn the_distances_survive_being_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let (json, _) = report::write(&distant(), folder.path()).unwrap();
    assert_eq!(Results::read(&json).unwrap(), distant());
    let validator = jsonschema::validator_for(&loadtest::results::schema()).unwrap();
    let value: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert!(validator.is_valid(&value));
}

//! The page, looked at with a browser's parser.

pub(crate) mod document;

use loadtest::report;

use crate::sample;
use document::{Document, Element};

fn labelled(page: &Document, end: &str) -> usize {
    let plots = page.all("svg", "").into_iter();
    plots.filter(|one| one.label.ends_with(end)).count()
}

fn curves(page: &Document) -> usize {
    labelled(page, "over load")
}

#[test]
fn the_page_is_whole_loads_nothing_and_runs_nothing_but_its_own_script() {
    for results in [
        sample::two(),
        sample::four(),
        sample::nine(),
        sample::bare(),
        sample::distant(),
    ] {
        let page = report::html(&[&results]);
        for forbidden in [
            "<script src",
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
            "NaN",
            "inf\"",
        ] {
            assert!(!page.contains(forbidden), "{forbidden} is in the page");
        }
        // The capacity model and what recomputes it, where there is anything to model.
        let scripts = if results.points.is_empty() { 0 } else { 2 };
        assert_eq!(page.matches("<script").count(), scripts);
        let page = Document::parse(&page);
        assert_eq!(page.all("h1", "").len(), 1);
        // A table wider than the window scrolls by itself.
        let scrolls = |one: &&&Element| matches!(one.around.as_str(), "wide" | "tile");
        assert_eq!(
            page.all("table", "")
                .iter()
                .find(|one| !scrolls(one))
                .map(|one| &one.text),
            None
        );
        assert!(page.all("svg", "").iter().all(|one| !one.label.is_empty()));
    }
}

#[test]
fn sizes_have_three_plots_for_each_kind_with_the_limits_of_servers_across() {
    let page = Document::parse(&report::html(&[&sample::two()]));
    assert_eq!(labelled(&page, "over size"), 6);
    let names = page.texts("text", "label");
    for name in ["limit 8 KB", "our gateway"] {
        let count = names.iter().filter(|label| **label == name).count();
        assert_eq!(count, 2, "{name} in {names:?}");
    }
    assert_eq!(
        labelled(
            &Document::parse(&report::html(&[&sample::bare()])),
            "over size"
        ),
        0
    );
}

#[test]
fn the_change_of_sign_is_marked_in_the_plot_and_said_below_it() {
    let page = Document::parse(&report::html(&[&sample::four()]));
    let marks = page.texts("text", "label");
    for mark in ["sign changes at 0.56", "sign changes at 0.68"] {
        assert!(marks.contains(&mark), "{mark} is missing in {marks:?}");
    }
    assert_eq!(page.all("line", "crossing").len(), 2);
    let notes = page.texts("p", "note");
    let said = |wanted: &str| notes.contains(&wanted);
    assert!(
        said("jwt-remembered ÷ jwt: the sign changes at 0.56 [0.49, 0.63] of the knee."),
        "{notes:?}"
    );
    // Values and ratios of the median, p99 and five kinds of CPU time; each ratio with its floor.
    assert!(curves(&page) >= 14);
    assert!(page.all("polygon", "floor").len() >= 7);
}

#[test]
fn nine_arms_have_a_colour_and_a_name_each() {
    let results = sample::nine();
    let page = report::html(&[&results]);
    for colour in 0..9 {
        assert!(page.contains(&format!("line c{colour}\"")), "{colour}");
        assert!(page.contains(&format!("svg .c{colour},")), "{colour}");
    }
    let page = Document::parse(&page);
    let labels = page.texts("text", "label");
    for arm in loadtest::subject::strategy::KNOWN_STRATEGIES {
        assert!(labels.contains(&arm), "{arm} in {labels:?}");
    }
    // The baseline's twin is told of and not shown beside the others.
    assert!(!labels.contains(&sample::FLOOR_ARM));
}

#[test]
fn what_has_too_few_samples_is_greyed_with_the_word() {
    let mut results = sample::two();
    for one in &mut results.comparisons {
        one.supported = one.metric != "response_time_p99_9";
    }
    let page = Document::parse(&report::html(&[&results]));
    let words = page.texts("td", "few-text");
    assert_eq!(words, ["too few samples"; 4]);
}

#[test]
fn one_load_has_its_ratios_below_each_other_in_place_of_curves() {
    for (mut results, forests) in [(sample::two(), 1), (sample::nine(), 3)] {
        results.plan.conditions.truncate(1);
        let page = Document::parse(&report::html(&[&results]));
        assert_eq!(labelled(&page, "Ratios with their intervals"), forests);
        assert_eq!(curves(&page), 0);
    }
}

#[test]
fn text_from_outside_stays_text() {
    let mut results = sample::two();
    let hostile = "<img src=x onerror=alert(1)>\"'&";
    results.environment.cpu_model = hostile.to_owned();
    results.plan.arms[1].name = hostile.to_owned();
    for point in &mut results.points {
        if point.arm == "session" {
            point.arm = hostile.to_owned();
        }
    }
    for one in &mut results.comparisons {
        hostile.clone_into(&mut one.candidate);
        hostile.clone_into(&mut one.reading);
    }
    results
        .environment
        .facts
        .insert(hostile.to_owned(), hostile.to_owned());
    results.findings = vec![hostile.to_owned()];
    results.gates[0].meaning = hostile.to_owned();
    results.thresholds[0].expression = hostile.to_owned();
    results.coupling.as_mut().unwrap().faults[0].title = hostile.to_owned();
    let page = report::html(&[&results]);
    assert!(!page.contains("<img"));
    let page = Document::parse(&page);
    assert_eq!(page.all("img", "").len(), 0);
    assert!(page.texts("li", "").contains(&hostile));
}

#[test]
fn the_page_draws_each_strategy_over_the_round_trip_time() {
    let page = Document::parse(&report::html(&[&sample::distant()]));
    let plots = page.all("svg", "");
    let drawn = plots
        .iter()
        .filter(|one| one.label.ends_with("over the round-trip time"));
    assert_eq!(drawn.count(), 4);
    let labels = page.texts("text", "label");
    assert!(labels.contains(&"jwt") && labels.contains(&"session"));
    assert!(page.texts("text", "tick").contains(&"0.25"));
    // The break-even in the median; in CPU time there is none.
    assert!(labels.contains(&"as much as jwt at 0.08 ms"), "{labels:?}");
    assert_eq!(page.all("line", "crossing").len(), 1);
}

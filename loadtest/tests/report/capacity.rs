//! The capacity model: what it says of results, in text, as JSON and on the page.

use std::process::{Command, Output};

use loadtest::{
    model::{Answer, Asked, INPUTS, Model, Source, Strategy, Unit, written},
    report,
    results::{Results, Validity},
};
use proptest::prelude::*;

use crate::{page::document::Document, sample};

fn model(results: &Results) -> Model {
    Model::of(&[results])
}

fn asked(given: &[(&str, f64)]) -> Asked {
    let mut asked = Asked::default();
    for (id, value) in given {
        asked = asked.with(id, *value);
    }
    asked
}

fn of<'a>(answer: &'a Answer, name: &str) -> &'a Strategy {
    let mut strategies = answer.strategies.iter();
    let found = strategies.find(|one| one.name == name);
    found.expect("the strategy is in the answer")
}

fn value(answer: &Answer, name: &str, figure: &str) -> f64 {
    of(answer, name).figures[figure].value
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found / expected - 1.0).abs() < 1e-9,
        "{found}, expected {expected}"
    );
}

#[test]
fn the_figures_are_those_that_one_calculates_by_hand() {
    let mut results = sample::two();
    // Replicas do what they were predicted to do.
    results.scale = None;
    let answer = model(&results).answer(&asked(&[("active_users", 5e6)]));
    // The sample's session at the highest load: factor 0.88 of 45 − 12 × 0.8, two replicas. They are less busy
    // than 0.6 there, so the value there counts.
    // Each of the five millions asks every 50 s, so a session is touched every 180 + 50 s.
    let touches = 5e6 / 230.0;
    near(value(&answer, "session", "touches"), touches);
    near(
        value(&answer, "session", "api_cores"),
        (1e5 * (45.0 - 9.6) * 0.88 + touches * 10.0) / 1e6 / 0.6,
    );
    near(value(&answer, "session", "redis_memory"), 5e6 * 730.0);
    near(
        value(&answer, "session", "redis_network"),
        (1e5 * 385.0 + touches * 260.0) * 8.0,
    );
    near(value(&answer, "session", "latency_ms"), 0.5);
    near(value(&answer, "session", "waiting"), 50.0);
    near(value(&answer, "jwt", "renewals"), 5e6 / 720.0);
    let logins = 5e6 / 43_200.0;
    near(
        value(&answer, "jwt", "auth_cores"),
        (logins * 26_000.0 + 5e6 / 720.0 * 1_000.0) / 1e6 / 0.6,
    );
    let none = [
        "redis_shards",
        "redis_memory",
        "redis_cores",
        "latency_ms",
        "touches",
    ];
    for figure in none {
        assert_eq!(value(&answer, "jwt", figure), 0.0, "{figure}");
    }
    // 16 GB hold them, and one core does not.
    near(
        value(&answer, "session", "redis_shards"),
        value(&answer, "session", "redis_cores").ceil(),
    );
}

#[test]
fn what_must_hold_leaves_out_who_cannot_and_says_why() {
    let model = model(&sample::nine());
    let out = |given: &[(&str, f64)]| -> Vec<(String, String)> {
        let answer = model.answer(&asked(given));
        let out = answer
            .strategies
            .into_iter()
            .filter(|one| !one.out.is_empty());
        out.map(|one| (one.name, one.out.join("; "))).collect()
    };
    assert_eq!(out(&[]), []);
    let names = |out: &[(String, String)]| -> Vec<String> {
        out.iter().map(|(name, _)| name.clone()).collect()
    };

    let soon = out(&[("logout_within", 60.0)]);
    assert_eq!(names(&soon), ["jwt", "jwt-remembered"]);
    assert!(
        soon[0].1.contains("tokens that live 30 s would do"),
        "{soon:?}"
    );
    let sooner = out(&[("logout_within", 20.0)]);
    assert!(
        sooner[0].1.contains("no life of a token is short enough"),
        "{sooner:?}"
    );
    assert_eq!(out(&[("logout_within", 60.0), ("token_life", 30.0)]), []);

    let without = out(&[("must_answer", 1.0)]);
    assert!(
        !names(&without).iter().any(|name| name == "jwt"),
        "{without:?}"
    );
    assert!(
        without
            .iter()
            .any(|(name, why)| name == "session" && why.contains("Redis is gone"))
    );

    let few = out(&[("replicas", 2.0)]);
    assert_eq!(few.len(), 9, "{few:?}");
    assert!(
        few[0].1.contains("replicas of the API to be 60 % busy"),
        "{few:?}"
    );
}

#[test]
fn a_memory_that_always_hits_in_a_benchmark_does_not_with_millions_of_users() {
    let model = model(&sample::nine());
    let hits = |name: &str, given: &[(&str, f64)]| {
        value(&model.answer(&asked(given)), name, "memory_hits")
    };
    assert!(hits("session-cached", &[("active_users", 100.0)]) > 0.999);
    let few = hits("session-cached", &[("active_users", 5e6)]);
    assert!(few < 0.1, "{few}");
    assert!(
        hits(
            "session-cached",
            &[("active_users", 5e6), ("cache_entries", 1e7)]
        ) > few
    );
    assert_eq!(hits("session", &[]), 0.0);
    // What misses costs what it costs who keeps nothing, and is read once more to be kept.
    let answer = model.answer(&asked(&[("active_users", 1e9)]));
    let (cached, plain) = (
        value(&answer, "session-cached", "redis_reads"),
        value(&answer, "session", "redis_reads"),
    );
    assert!((cached / plain - 2.0).abs() < 0.01, "{cached}, {plain}");
    let api = |name: &str| value(&answer, name, "api_us");
    let (cached, plain) = (api("session-cached"), api("session"));
    assert!((cached / plain - 1.0).abs() < 0.01, "{cached}, {plain}");
}

#[test]
fn a_touch_costs_redis_and_who_reads_the_session() {
    let results = sample::nine();
    let asked = asked(&[("active_users", 5e6)]);
    let (with, without) = (model(&results), {
        let mut model = model(&results);
        for none in ["touch_reads=0", "touch_us=0", "touch_bytes=0"] {
            model.assume(none).unwrap();
        }
        model
    });
    let (with, without) = (with.answer(&asked), without.answer(&asked));
    let more = |name: &str, figure: &str| {
        value(&with, name, figure) - value(&without, name, figure) > 1e-9
    };
    for (name, api, auth) in [
        ("jwt", false, false),
        ("jwt-remembered", false, false),
        ("session", true, false),
        ("session-cached", true, false),
        ("introspection", false, true),
        ("phantom", false, true),
    ] {
        assert_eq!(more(name, "api_cores"), api, "{name}");
        assert_eq!(more(name, "auth_cores"), auth, "{name}");
        let touched = api || auth;
        assert_eq!(more(name, "redis_cores"), touched, "{name}");
        assert_eq!(more(name, "redis_network"), touched, "{name}");
        assert_eq!(
            of(&with, name).costs.contains("touches of sessions"),
            touched
        );
    }
    // Of a read that is made on each request, four fifths.
    near(
        value(&with, "session", "redis_us") / value(&without, "session", "redis_us"),
        1.0 + 0.8 * (5e6 / 230.0) / 1e5,
    );
    // A gateway that has the token asks nobody: fewer looks, and fewer touches.
    assert!(value(&with, "phantom", "touches") < value(&with, "session", "touches"));
}

#[test]
fn what_lies_outside_of_what_was_measured_is_told_for_each_strategy() {
    let model = model(&sample::two());
    let beyond = |name: &str, rate: f64, busy: f64| {
        let answer = model.answer(&asked(&[("rate", rate), ("utilisation", busy)]));
        of(&answer, name).beyond.clone()
    };
    let one = &model.strategies[1];
    let (least, most) = one.rates;
    assert!(least < most, "{:?}", one.rates);
    for rate in [least / 2.0, most * 2.0] {
        let told = beyond("session", rate, 1.0);
        let measured = format!(
            "{} ({} to {})",
            written(rate, Unit::PerSecond),
            written(least, Unit::PerSecond),
            written(most, Unit::PerSecond)
        );
        assert!(told.contains(&measured), "{told}");
    }
    let told = beyond("session", most, 1.0);
    for part in [
        "Outside of what was measured: 100 % of a core for the processor time in the gateway (",
        "processor time in the API (",
        "processor time in Redis (",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("/s"), "{told}");
    // Nobody asks Redis for a token.
    assert!(!beyond("jwt", most, 1.0).contains("Redis"));
}

#[test]
fn what_was_measured_itself_is_within_and_what_somebody_gives_is_not_held_against_it() {
    let mut model = model(&sample::two());
    let (_, most) = model.strategies[0].rates;
    for part in ["gateway", "api"] {
        model.assume(&format!("jwt.{part}_demand_us=10")).unwrap();
    }
    let answer = model.answer(&asked(&[("rate", most), ("utilisation", 1.0)]));
    assert_eq!(of(&answer, "jwt").beyond, "");
}

#[test]
fn every_figure_has_a_source_and_what_is_not_measured_is_assumed() {
    let all = model(&sample::two());
    let source = |model: &Model, id: &str, of: Option<&str>| {
        let all = model.assumptions(&Asked::default());
        let found = all
            .into_iter()
            .find(|(name, one)| one.id == id && *name == of);
        found.unwrap_or_else(|| panic!("{id} of {of:?}")).1.source
    };
    assert!(matches!(
        source(&all, "session_bytes", None),
        Source::Measured(_)
    ));
    assert!(matches!(
        source(&all, "redis_demand_us", Some("session")),
        Source::Measured(_)
    ));
    assert!(matches!(
        source(&all, "round_trips", Some("session")),
        Source::Assumed(_)
    ));
    for (_, figure) in all.assumptions(&Asked::default()) {
        assert!(
            figure.value.is_finite() && !figure.source.told().is_empty(),
            "{figure:?}"
        );
    }
    let mut bare = sample::two();
    (bare.unit_costs, bare.freshness, bare.coupling) = (None, None, None);
    bare.scale = None;
    let bare = model(&bare);
    assert!(matches!(
        source(&bare, "session_bytes", None),
        Source::Assumed(_)
    ));
    // Where nothing was measured beside the load, an answer is there all the same.
    let answer = bare.answer(&Asked::default());
    for one in &answer.strategies {
        for (id, ends) in &one.figures {
            assert!(
                ends.value.is_finite() && ends.low <= ends.value && ends.value <= ends.high,
                "{id}: {ends:?}"
            );
        }
    }
    assert!(model(&sample::bare()).is_empty());
}

#[test]
fn what_scale_and_distance_measured_takes_the_place_of_what_is_assumed() {
    let (compared, distant) = (sample::two(), sample::distant());
    let model = Model::of(&[&compared, &distant]);
    let figure = |id: &str| {
        let all = model.assumptions(&Asked::default());
        let found = all
            .into_iter()
            .find(|(name, one)| one.id == id && *name == Some("session"));
        found.unwrap_or_else(|| panic!("{id}")).1
    };
    // That no load was measured in the second file is no lack.
    assert_eq!(model.caveats, [] as [String; 0]);
    let trips = figure("round_trips");
    assert!(matches!(trips.source, Source::Measured(_)), "{trips:?}");
    near(
        value(&model.answer(&Asked::default()), "session", "latency_ms"),
        trips.value * 0.5,
    );
    let scaling = figure("scaling");
    assert!(matches!(scaling.source, Source::Measured(_)), "{scaling:?}");
    // Who does less than predicted needs more cores, and the dear end of the interval is the lower one.
    let cores = of(&model.answer(&Asked::default()), "session").figures["api_cores"];
    let (low, high) = (scaling.low.unwrap(), scaling.high.unwrap());
    assert!(
        cores.high / cores.value > scaling.value / low * 0.999,
        "{cores:?} {scaling:?}"
    );
    assert!(
        cores.low / cores.value < scaling.value / high * 1.001,
        "{cores:?} {scaling:?}"
    );
}

#[test]
fn a_number_of_ones_own_takes_the_place_of_a_figure() {
    let mut model = model(&sample::two());
    model.assume("session_bytes=1200").unwrap();
    model.assume("jwt.scaling=1").unwrap();
    model.assume("session.round_trips=3").unwrap();
    model.assume("jwt.api_demand_us=10").unwrap();
    let answer = model.answer(&Asked::default());
    near(value(&answer, "session", "redis_memory"), 1.2e9);
    near(value(&answer, "session", "latency_ms"), 1.5);
    near(value(&answer, "jwt", "api_cores"), 1e5 * 10.0 / 1e6 / 0.6);
    for wrong in [
        "session_bytes",
        "session_bytes=many",
        "session_bytes=-1",
        "nothing=1",
        "nobody.round_trips=1",
    ] {
        assert!(model.assume(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn who_asks_for_more_pays_no_less(
        rate in 100.0..1e7_f64, users in 100.0..1e8_f64, rtt in 0.0..50.0_f64, life in 5.0..1e5_f64, more in 1.0..50.0_f64,
    ) {
        let model = model(&sample::nine());
        let base = asked(&[("rate", rate), ("active_users", users), ("rtt_ms", rtt), ("token_life", life)]);
        let answer = model.answer(&base);
        let than = |id: &str, value: f64| model.answer(&base.clone().with(id, value));
        let (faster, fuller, farther, longer) = (
            than("rate", rate * more),
            than("active_users", users * more),
            than("rtt_ms", rtt * more),
            than("token_life", life * more),
        );
        for one in &answer.strategies {
            let figure = |answer: &Answer, id: &str| value(answer, &one.name, id);
            let holds = |id: &str, other: &Answer| figure(other, id) >= figure(&answer, id) * (1.0 - 1e-9);
            prop_assert!(holds("gateway_cores", &faster));
            prop_assert!(holds("redis_memory", &fuller) && holds("renewals", &fuller));
            prop_assert!(holds("touches", &faster) && holds("touches", &fuller));
            let touches = figure(&answer, "touches");
            prop_assert!(touches <= rate.min(users / 180.0) * (1.0 + 1e-9), "{}", touches);
            prop_assert!(holds("latency_ms", &farther) && holds("logout_seen", &farther));
            prop_assert!(figure(&longer, "renewals") <= figure(&answer, "renewals"));
            for (id, ends) in &one.figures {
                prop_assert!(ends.low <= ends.value && ends.value <= ends.high, "{} {:?}", id, ends);
                prop_assert!(ends.value.is_finite() && ends.value >= 0.0, "{} {:?}", id, ends);
            }
            prop_assert!(figure(&answer, "memory_hits") <= 1.0);
        }
    }
}

#[test]
fn the_text_says_what_is_left_what_it_costs_and_what_it_rests_on() {
    let all = model(&sample::nine());
    let questions = [asked(&[("logout_within", 1.0)]), asked(&[("rate", 1e6)])];
    let text = report::capacity(&all, &questions);
    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "At 100,000/s with 1,000,000 active users, 500 µs to Redis and back, tokens that live 15 min, a logout seen",
        "At 1,000,000/s",
        "jwt is out: a logout is seen after up to 15.5 min",
        "What it rests on",
        "session_bytes 730 B [715 B, 745 B]: memory of a session in Redis, with its index (measured:",
        "How it is calculated",
        "latency_ms = rtt_ms × ",
    ] {
        assert!(flowing.contains(part), "{part} is missing in\n{text}");
    }
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(100), "{longest:?}");
}

#[test]
fn the_section_is_whole_without_its_script_and_every_name_has_one_place() {
    let results = sample::nine();
    let page = report::html(&[&results]);
    let parsed = Document::parse(&page);
    let answer = model(&results).answer(&Asked::default());
    assert!(parsed.texts("p", "left").contains(&answer.left.as_str()));
    let costs = parsed.texts("p", "costs");
    assert_eq!(costs.len(), 9);
    assert!(
        costs[1].starts_with(&answer.strategies[1].costs),
        "{costs:?}"
    );
    for input in INPUTS {
        assert_eq!(
            page.matches(&format!("data-input=\"{}\"", input.id))
                .count(),
            1,
            "{}",
            input.id
        );
    }
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn several_runs_stand_on_one_page_and_have_one_model() {
    let (first, mut second) = (sample::two(), sample::four());
    second.started_at = "2026-02-03T04:05:06Z".to_owned();
    let page = report::html(&[&first, &second]);
    assert_eq!(page.matches("id=\"capacity\"").count(), 1);
    assert_eq!(page.matches("<h2>Capacity</h2>").count(), 1);
    for run in ["id=\"run-1\"", "id=\"run-2\"", "2026-02-03T04:05:06Z"] {
        assert!(page.contains(run), "{run}");
    }
    let parsed = Document::parse(&page);
    let names = parsed.texts("b", "name");
    assert_eq!(
        names,
        ["jwt", "session", "jwt-remembered", "session-cached"]
    );
}

fn command(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let ended = command.arg("capacity").args(arguments).output();
    ended.expect("the program starts")
}

#[test]
fn an_answer_says_what_its_runs_are_worth_and_so_does_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |validity: Validity| {
        let mut results = sample::two();
        results.validity = validity;
        // Nothing else in it says so.
        results.comparisons.clear();
        let path = folder.path().join(format!("{validity:?}.json"));
        std::fs::write(&path, serde_json::to_string(&results).unwrap()).unwrap();
        path.display().to_string()
    };
    for (validity, code) in [
        (Validity::Valid, 0),
        (Validity::Inconclusive, 4),
        (Validity::Overloaded, 4),
        (Validity::Disturbed, 3),
        (Validity::Invalid, 3),
    ] {
        let ended = command(&[&file(validity)]);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let text = String::from_utf8(ended.stdout).unwrap();
        let word = format!("{validity:?}").to_uppercase();
        // Before the answer, which begins with the rate.
        let said = text.split("At 100,000/s").next().unwrap();
        assert_eq!(said.contains(&word), code != 0, "{text}");
    }
    let (worse, bad) = (file(Validity::Disturbed), file(Validity::Overloaded));
    let ended = command(&[&bad, &worse, "--json"]);
    assert_eq!(ended.status.code(), Some(3), "the worst counts: {ended:?}");
    let told: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let caveats = told["caveats"].to_string();
    for word in ["OVERLOADED", "DISTURBED"] {
        assert!(caveats.contains(word), "{caveats}");
    }
}

#[test]
fn the_command_answers_from_the_published_example() {
    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/example/results.json");
    let ended = command(&[
        EXAMPLE,
        "--rate",
        "100k,1M",
        "--rtt",
        "0.5",
        "--active-users",
        "5M",
        "--json",
    ]);
    // Its figures are sound, and one of its headlines is unclear.
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let told: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(told["answers"][1]["asked"]["rate"], 1e6);
    let session = &told["answers"][0]["strategies"][1];
    assert_eq!(session["name"], "session");
    assert!(session["figures"]["cores"]["value"].as_f64() > Some(1.0));
    assert!(
        told["formulas"][0]["formula"]
            .as_str()
            .unwrap()
            .contains('×')
    );
    let sources: Vec<_> = told["figures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["source"])
        .collect();
    assert!(sources.iter().all(|one| one.is_string()), "{sources:?}");

    for (wrong, hint) in [
        (["--assume", "nothing=1"], "there is no figure"),
        (["--utilisation", "7"], "--utilisation"),
        (["--rtt", "1e9"], "--rtt"),
    ] {
        let ended = command(&[&[EXAMPLE][..], &wrong].concat());
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(
            String::from_utf8_lossy(&ended.stderr).contains(hint),
            "{ended:?}"
        );
    }
}

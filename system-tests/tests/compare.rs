//! The main job, `loadtest compare`, with every experiment in its shortest form on a real system: what
//! it writes must make sense. Whether its figures are right is for `make trust`, on a quiet machine.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Child,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use html5ever::{parse_document, tendril::TendrilSink};
use loadtest::{
    model::{Asked, Model, Source},
    results::{Capacity, Estimate, Point, Results, RevocationKind, Validity, Verdict, Window},
    stats::histogram::LatencyHistogram,
    subject::stack::StackOptions,
};
use markup5ever_rcdom::RcDom;
use rustix::process::{Pid, Signal, kill_process};
use system_tests::{Cluster, command, within};

/// One run takes a minute at most, on a busy machine several.
const LONGEST: Duration = Duration::from_secs(600);
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results.schema.json");
/// A search for the highest rate would take the machine from the other run.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Neither faults nor revocation lags.
const NOTHING_BESIDE: [&str; 3] = ["--no-faults", "--revocations", "0"];

/// Runs it in the quick form; its exit code and what it wrote.
#[track_caller]
fn compare(arguments: &[&str], out: &Path) -> (i32, Results) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    ends(start(&[&["--quick"], arguments].concat(), out), out)
}

fn start(arguments: &[&str], out: &Path) -> Child {
    command("loadtest")
        .args(["compare", "--out"])
        .arg(out)
        .args(arguments)
        .spawn()
        .expect("the program starts")
}

#[track_caller]
fn ends(mut child: Child, out: &Path) -> (i32, Results) {
    let (_, _) = within(LONGEST, "the comparison ends", || {
        child.try_wait().expect("a child can be waited for")
    });
    let output = child.wait_with_output().expect("its output can be read");
    let code = output.status.code().expect("it ended by itself");
    let said = String::from_utf8_lossy(&output.stderr);
    let read = Results::read(&out.join("results.json"));
    (
        code,
        read.unwrap_or_else(|error| panic!("{error}: exit code {code}\n{said}")),
    )
}

#[test]
fn a_short_comparison_with_all_experiments_makes_sense() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--rate", "200", "--rounds", "3", "--revocations", "8"];
    let (code, results) = compare(&asked, folder.path());

    assert_eq!(results.plan.arms.len(), 2);
    let arms = [
        "jwt",
        "session",
        results.plan.floor_arm.as_deref().expect("there is a floor"),
    ];
    assert_every_window_is_there_once(&results, &arms, 3);
    results.windows.iter().for_each(assert_histograms_agree);
    for arm in arms {
        let point = results
            .point(arm, &results.plan.conditions[0])
            .expect("each arm has a point");
        assert_point_makes_sense(point);
    }
    assert_comparisons_make_sense(&results);
    assert_the_verdict_follows(&results, code);
    assert_coupling_is_complete(&results);
    assert_freshness_is_complete(&results);
    assert_the_capacity_model_rests_on_what_was_measured(&results);
    assert_files_are_sound(folder.path());
}

/// What a login, a renewal and a session take is measured beside the load, and so is what a request takes of
/// the way to Redis.
#[track_caller]
fn assert_the_capacity_model_rests_on_what_was_measured(results: &Results) {
    let costs = results
        .unit_costs
        .as_ref()
        .expect("unit costs are measured");
    let value = |estimate: Option<Estimate>| estimate.expect("it is measured").value;
    let session = value(costs.session_bytes);
    assert!(
        (400.0..4_000.0).contains(&session),
        "{session} bytes a session"
    );
    let login = value(costs.login_cpu_us);
    for cheaper in [costs.renewal_cpu_us, costs.exchange_cpu_us].map(value) {
        assert!(
            cheaper > 50.0 && login > 3.0 * cheaper,
            "{login} µs, {cheaper} µs"
        );
    }

    let model = Model::of(&[results]);
    let measured = |id: &str, of: Option<&str>| {
        let all = model.assumptions(&Asked::default());
        let mut found = all
            .into_iter()
            .filter(|(name, one)| one.id == id && *name == of);
        let (_, figure) = found.next().expect("the figure is there");
        assert!(matches!(figure.source, Source::Measured(_)), "{figure:?}");
        figure.value
    };
    for id in ["session_bytes", "login_us", "renewal_us", "key_set_bytes"] {
        measured(id, None);
    }
    // The command has a key of 82 bytes, and the answer holds the record.
    let bytes = measured("redis_bytes", Some("session"));
    assert!((200.0..3_000.0).contains(&bytes), "{bytes} bytes a request");
    let answer = model.answer(&Asked::default());
    let names = answer.strategies.iter().map(|one| one.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["jwt", "session"]);
}

#[test]
fn a_system_that_runs_is_compared_with_every_strategy_that_it_has_and_what_is_unknown_is_told() {
    let cluster = Cluster::with(StackOptions {
        strategies: ["session-cached", "jwt", "session"]
            .map(str::to_owned)
            .to_vec(),
        ..StackOptions::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let asked = [
        "--gateway",
        cluster.stack.gateway_url.as_str(),
        "--gateway-admin",
        cluster.stack.gateway_admin_url.as_str(),
        "--redis-url",
        cluster.stack.redis_url.as_str(),
        "--rate",
        "50",
        "--rounds",
        "2",
        "--revocations",
        "4",
    ];
    let (_, results) = compare(&asked, folder.path());
    let arms = results.plan.arms.iter();
    let arms: Vec<_> = arms.map(|arm| (arm.name.as_str(), arm.replicas)).collect();
    let one = Some(1);
    assert_eq!(
        arms,
        [("jwt", one), ("session", one), ("session-cached", one)]
    );
    let left_out = results.plan.left_out.join("\n");
    let freshness = results.freshness.expect("its replicas can be asked");
    let lag = |strategy: &str| {
        let mut lags = freshness.lags.iter();
        lags.find(|lag| lag.strategy == strategy).unwrap()
    };
    assert_eq!(lag("session").accepted_after, 0, "{:?}", lag("session"));
    // Its tokens live for a quarter of an hour, which nobody waits for.
    let token = lag("jwt");
    assert!(
        token.unended > 0 && token.unended == token.revocations,
        "{token:?}"
    );
    for part in ["No faults:", "only logouts", "traced"] {
        assert!(left_out.contains(part), "{part} is missing in {left_out}");
    }
}

#[test]
fn memory_is_told_of_the_system_of_each_arm() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--rate", "50", "--rounds", "2", "--arm", "a=jwt"];
    let apart = ["--arm", "b=jwt,env=API_LEEWAY=3s"];
    let (_, results) = compare(
        &[&asked[..], &apart, &NOTHING_BESIDE].concat(),
        folder.path(),
    );
    let names: BTreeSet<&str> = results
        .memory
        .iter()
        .map(|one| one.process.as_str())
        .collect();
    for name in [
        "gateway",
        "api-a-2",
        "redis",
        "b gateway",
        "b api-jwt-2",
        "b redis",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
}

#[test]
fn results_that_cannot_be_written_are_found_before_anything_is_measured() {
    let began = Instant::now();
    let output =
        system_tests::ends(command("loadtest").args(["compare", "--out", "/proc/nowhere"]));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("/proc/nowhere") && said.contains("nothing is measured"),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn without_a_rate_the_loads_follow_from_a_search_for_the_highest_one() {
    let folder = tempfile::tempdir().unwrap();
    let asked = [
        "--strategy",
        "jwt",
        "--no-faults",
        "--revocations",
        "0",
        "--rounds",
        "2",
    ];
    let (code, results) = compare(&asked, folder.path());

    let [
        Capacity {
            arm,
            searches,
            indicative,
            ..
        },
    ] = results.capacities.as_slice()
    else {
        panic!("{:?}", results.capacities);
    };
    assert_eq!(arm, "jwt");
    assert!(indicative, "one search has no interval");
    let [search] = searches.as_slice() else {
        panic!("{searches:?}");
    };
    assert!(!search.steps.is_empty() && !search.ended_by.is_empty());
    let loads: Vec<f64> = results
        .plan
        .conditions
        .iter()
        .filter_map(|one| one.load)
        .collect();
    assert!(loads.len() >= 2 && loads.is_sorted(), "{loads:?}");
    let rates = results
        .plan
        .conditions
        .iter()
        .map(|one| one.rate_per_second);
    assert!(rates.is_sorted(), "{:?}", results.plan.conditions);
    let arms = [
        "jwt",
        results.plan.floor_arm.as_deref().expect("there is a floor"),
    ];
    assert_every_window_is_there_once(&results, &arms, 2);
    assert_the_verdict_follows(&results, code);
    assert!(results.coupling.is_none() && results.freshness.is_none());
    assert_files_are_sound(folder.path());
}

#[test]
fn the_full_form_goes_on_after_each_restart_of_all_processes() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--rate", "200", "--rounds", "3", "--strategy", "jwt"];
    let asked = [&asked[..], &NOTHING_BESIDE].concat();
    let (code, results) = ends(start(&asked, folder.path()), folder.path());

    assert!(results.plan.restarts && !results.plan.quick);
    let arms = [
        "jwt",
        results.plan.floor_arm.as_deref().expect("there is a floor"),
    ];
    assert_every_window_is_there_once(&results, &arms, 3);
    assert_the_verdict_follows(&results, code);
}

#[test]
fn when_the_system_dies_in_the_middle_the_whole_blocks_before_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let asked = [
        "--quick",
        "--rate",
        "200",
        "--rounds",
        "30",
        "--strategy",
        "jwt",
    ];
    let mut child = start(&[&asked[..], &NOTHING_BESIDE].concat(), folder.path());
    let progress = BufReader::new(child.stderr.take().expect("it is read here"));
    let mut lines = progress.lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("block 4:")),
        "it ended before"
    );
    let replicas = children(child.id(), "api-service");
    assert!(!replicas.is_empty());
    for pid in replicas {
        kill_process(pid, Signal::KILL).unwrap();
    }
    // What nobody reads would stop it.
    let said: Vec<String> = lines.collect();
    let (code, results) = ends(child, folder.path());

    let gate = results.gates.iter().find(|gate| gate.name == "ended_early");
    let gate = gate.unwrap_or_else(|| panic!("no such gate after {said:?}"));
    assert!(!gate.passed && !gate.meaning.is_empty());
    assert_ne!(results.validity, Validity::Valid);
    assert_the_verdict_follows(&results, code);
    assert_every_window_is_there_once(&results, &["jwt", "jwt-again"], results.plan.blocks);
    assert!((2..30).contains(&results.plan.blocks));
}

/// Processes of this name that another started.
fn children(parent: u32, name: &str) -> Vec<Pid> {
    let processes = procfs::process::all_processes().expect("/proc can be read");
    let stats = processes.filter_map(|one| one.ok()?.stat().ok());
    stats
        .filter(|stat| stat.ppid == parent.cast_signed() && stat.comm == name)
        .filter_map(|stat| Pid::from_raw(stat.pid))
        .collect()
}

/// Each arm, in each block, under each of the conditions.
#[track_caller]
fn assert_every_window_is_there_once(results: &Results, arms: &[&str], blocks: u32) {
    assert_eq!(results.plan.blocks, blocks);
    let rate = |window: &Window| window.conditions.rate_per_second.to_bits();
    let found: BTreeSet<(&str, u32, u64)> = results
        .windows
        .iter()
        .map(|window| (window.arm.as_str(), window.block, rate(window)))
        .collect();
    let complete = arms.len() * blocks as usize * results.plan.conditions.len();
    assert_eq!(found.len(), complete, "{found:?}");
    assert_eq!(results.windows.len(), complete);
    assert!(
        found
            .iter()
            .all(|(arm, block, _)| arms.contains(arm) && *block < blocks)
    );
    assert_eq!(
        results.points.len(),
        arms.len() * results.plan.conditions.len()
    );
}

/// The figures of a window are those of its distributions.
#[track_caller]
fn assert_histograms_agree(window: &Window) {
    let read =
        |name: &str| LatencyHistogram::from_v2(&window.histograms[name]).expect("a histogram");
    for (name, metric, quantile) in [
        ("response_time", "response_time_p50", 0.5),
        ("response_time", "response_time_p99", 0.99),
        ("service_time", "service_time_p50", 0.5),
        ("service_time", "service_time_p99", 0.99),
        ("send_lag", "send_lag_p99", 0.99),
    ] {
        assert_eq!(
            read(name).quantile_us(quantile),
            window.metrics[metric],
            "{metric} of {window:?}"
        );
    }
    assert_eq!(
        read("response_time").count(),
        window.answers["200"],
        "{window:?}"
    );
}

#[track_caller]
fn assert_point_makes_sense(point: &Point) {
    let value = |id: &str| point.metrics[id].value;
    // A busy machine may make an answer late; no answer may be anything but 200.
    let statuses = point
        .answers
        .keys()
        .filter(|name| name.parse::<u16>().is_ok());
    assert_eq!(statuses.collect::<Vec<_>>(), ["200"], "{point:?}");
    assert!(value("good") > 0.5, "{point:?}");

    for component in ["gateway", "api", "redis", "auth", "generator"] {
        assert!(
            value(&format!("cpu_us_per_request_{component}")) > 0.0,
            "{component} of {point:?}"
        );
    }
    let commands = value("redis_commands_per_request");
    let expected = match point.arm.as_str() {
        "session" => 0.9..1.5,
        // Only what the services ask for whether there are requests or not.
        _ => 0.0..0.5,
    };
    assert!(
        expected.contains(&commands),
        "{commands} Redis commands per request of {}",
        point.arm
    );

    for latency in [&point.response_time, &point.service_time, &point.send_lag] {
        let ordered = [
            latency.p50_us,
            latency.p90_us,
            latency.p99_us,
            latency.p99_9_us,
            latency.max_us,
        ];
        assert!(ordered.is_sorted(), "{latency:?}");
    }
    assert!(
        point.response_time.p50_us >= point.service_time.p50_us,
        "{point:?}"
    );
    for estimate in point.metrics.values() {
        let (low, high) = (estimate.low, estimate.high);
        assert!(low.is_none_or(|low| low <= estimate.value), "{estimate:?}");
        assert!(
            high.is_none_or(|high| high >= estimate.value),
            "{estimate:?}"
        );
    }
}

#[track_caller]
fn assert_comparisons_make_sense(results: &Results) {
    let headline: Vec<&str> = results
        .comparisons
        .iter()
        .filter(|row| row.headline)
        .map(|row| row.metric.as_str())
        .collect();
    assert_eq!(
        headline,
        [
            "response_time_p50",
            "response_time_p99",
            "cpu_us_per_request"
        ]
    );
    for row in &results.comparisons {
        assert_eq!(
            (row.baseline.as_str(), row.candidate.as_str()),
            ("jwt", "session")
        );
        assert!(
            row.ci_low <= row.ratio && row.ratio <= row.ci_high,
            "{row:?}"
        );
        let floor = row.floor_low.zip(row.floor_high);
        assert!(
            floor.is_some_and(|(low, high)| low <= 1.0 && 1.0 <= high),
            "{row:?}"
        );
        // Of a row that varies beyond all measure none can be told.
        assert!(
            row.detectable_ratio.is_none_or(|ratio| ratio >= 1.0),
            "{row:?}"
        );
        assert_eq!(row.blocks, 3);
        match row.verdict {
            Verdict::Higher => assert!(row.ci_low > 1.0, "{row:?}"),
            Verdict::Lower => assert!(row.ci_high < 1.0, "{row:?}"),
            Verdict::Equivalent | Verdict::Inconclusive => {}
        }
        assert!(!row.reading.is_empty());
    }
}

/// The one word that the gates and the headline rows make, and its exit code.
#[track_caller]
fn assert_the_verdict_follows(results: &Results, code: i32) {
    let names: BTreeSet<&str> = results
        .gates
        .iter()
        .map(|gate| gate.name.as_str())
        .collect();
    assert_eq!(names.len(), results.gates.len(), "{:?}", results.gates);
    for gate in &results.gates {
        assert!(
            !gate.meaning.is_empty() && !gate.advice.is_empty(),
            "{gate:?}"
        );
    }
    let unclear = results
        .comparisons
        .iter()
        .any(|row| row.headline && row.verdict == Verdict::Inconclusive);
    assert_eq!(results.validity, Validity::of(&results.gates, unclear));
    let expected = match results.validity {
        Validity::Valid => 0,
        Validity::Invalid | Validity::Disturbed => 3,
        Validity::Overloaded | Validity::Inconclusive => 4,
    };
    assert_eq!(code, expected, "{:?}", results.validity);
}

/// Every fault has a cell for each strategy, in which something was asked.
#[track_caller]
fn assert_coupling_is_complete(results: &Results) {
    let coupling = results.coupling.as_ref();
    let coupling = coupling.unwrap_or_else(|| panic!("no faults: {:?}", results.plan.left_out));
    assert!(!coupling.faults.is_empty());
    for fault in &coupling.faults {
        for strategy in ["jwt", "session"] {
            let mut cells = coupling.cells.iter();
            let cell = cells.find(|cell| cell.fault == fault.id && cell.strategy == strategy);
            let cell = cell.unwrap_or_else(|| panic!("{strategy} under {}", fault.id));
            assert!(
                !cell.repetitions.is_empty() && !cell.predicted.is_empty(),
                "{cell:?}"
            );
            let (low, high) = (cell.availability.low, cell.availability.high);
            assert!(0.0 <= low && low <= high && high <= 1.0, "{cell:?}");
            assert_eq!(cell.as_predicted, cell.surprises.is_empty(), "{cell:?}");
            // What cannot be decided is no bad credential, whatever the machine does.
            assert_eq!(cell.unauthorized_in_fault, 0, "{cell:?}");
        }
    }
}

#[track_caller]
fn assert_freshness_is_complete(results: &Results) {
    let freshness = results.freshness.as_ref();
    let freshness = freshness.unwrap_or_else(|| panic!("no lags: {:?}", results.plan.left_out));
    let strategies: Vec<&str> = freshness
        .lags
        .iter()
        .map(|lag| lag.strategy.as_str())
        .collect();
    assert_eq!(strategies, ["jwt", "session"]);
    for lag in &freshness.lags {
        assert_eq!(lag.kind, RevocationKind::Logout);
        // What tells nothing, on a busy machine, is made once more.
        let made = lag.revocations + lag.skipped;
        assert!((8..=16).contains(&made), "{lag:?}");
        assert!((1..=8).contains(&lag.revocations), "{lag:?}");
        assert!(lag.accepted_after <= lag.revocations, "{lag:?}");
    }
}

/// Of the published form, and a page that a browser reads without guessing.
#[track_caller]
fn assert_files_are_sound(folder: &Path) {
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let schema = serde_json::from_str(&read(Path::new(SCHEMA))).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let written = serde_json::from_str(&read(&folder.join("results.json"))).expect("JSON");
    let faults: Vec<String> = validator
        .iter_errors(&written)
        // Without the value, which may be thousands of lines.
        .map(|error| format!("{}: {}", error.instance_path(), error.schema_path()))
        .collect();
    assert_eq!(faults, Vec::<String>::new());

    let page = parse_document(RcDom::default(), Default::default());
    let page = page.one(read(&folder.join("report.html")));
    assert!(page.errors.borrow().is_empty(), "{:?}", page.errors);
}

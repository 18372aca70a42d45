//! Arguments and files that make no sense: each is refused with a reason, before anything is sent or written.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use loadtest::stats::histogram::LatencyHistogram;
use serde_json::{Value, json};

use super::{
    command::{loadtest, output, written},
    server::{Server, answer},
};

#[track_caller]
fn is_refused(ended: &Output, hints: &[&str]) {
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    for hint in hints {
        assert!(told.contains(hint), "{hint} is missing in {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn times_and_numbers_that_no_run_can_have_are_refused_before_anything_is_sent() {
    let server = Server::start(|_| answer(200));
    for (name, value) in [
        ("--duration", "0s"),
        ("--duration", "1000years"),
        ("--warmup", "100000000000years"),
        ("--warmup", "2h"),
        ("--deadline", "0s"),
        ("--deadline", "1000years"),
        ("--busy-poll", "1000years"),
        ("--start-at", "9999-12-31T23:59:59Z"),
        ("--start-at", "1970-01-01T00:00:01Z"),
        ("--start-at", "1e18"),
        ("--max-connections", "1000000000"),
    ] {
        let url = server.url();
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["run", "--rate", "9", "--url", url.as_str(), name, value]);
        is_refused(&output(command), &[name]);
    }
    for count in ["0", "1000000000"] {
        let ended = output(loadtest(server.url().as_str(), &["--connections", count]));
        is_refused(&ended, &["--connections"]);
    }
    assert_eq!(server.arrived.load(Ordering::SeqCst), 0);
    assert_eq!(server.accepted.load(Ordering::SeqCst), 0);
}

/// What the two shards of one run wrote.
fn shards(folder: &Path) -> [PathBuf; 2] {
    let server = Server::start(|_| answer(200));
    let begin = SystemTime::now() + Duration::from_secs(1);
    let begin = begin.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let begin = format!("{begin:.6}");
    let children = [1, 2].map(|index| {
        let out = folder.join(format!("shard-{index}.json"));
        let shard = format!("{index}/2");
        let more = ["--rate", "200", "--shard", &shard, "--start-at", &begin];
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        // What is sent before the measured time is in some of the distributions.
        command
            .args(["run", "--url", server.url().as_str()])
            .args(["--warmup", "300ms", "--duration", "500ms"])
            .args(more)
            .arg("--out")
            .arg(&out);
        (
            command.stdout(std::process::Stdio::null()).spawn().unwrap(),
            out,
        )
    });
    children.map(|(mut child, out)| {
        child.wait().unwrap();
        out
    })
}

fn merge(parts: &[&Path], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("merge").args(parts).arg("--out").arg(out);
    output(command)
}

/// A distribution of so many values more than any of the shards has.
fn crowded() -> Value {
    let mut histogram = LatencyHistogram::new();
    for _ in 0..1_000 {
        histogram.record(Duration::from_micros(1));
    }
    json!(histogram.to_v2())
}

#[test]
fn a_file_that_no_shard_wrote_is_named_and_merged_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = shards(folder.path());
    let out = folder.path().join("merged.json");
    let whole = merge(&[&first, &second], &out);
    // 3 where this machine was too busy to begin or to send in time.
    assert!(matches!(whole.status.code(), Some(0 | 3)), "{whole:?}");
    let requests = |path: &Path| written(path)["requests"].as_u64().unwrap();
    assert_eq!(requests(&out), requests(&first) + requests(&second));

    std::fs::write(&out, "old").unwrap();
    let bad = folder.path().join("bad.json");
    let most = json!(u64::MAX);
    for (place, value, hint) in [
        (
            "/requests",
            most.clone(),
            "requests is 18446744073709551615",
        ),
        ("/requests", json!(0), "to 0 requests"),
        ("/answers/0/count", most.clone(), "answers is"),
        ("/answers/0/count", json!(1_000_000), "1000000 answers to"),
        (
            "/errors",
            json!([{"kind": "timeout", "count": 1_000_000}]),
            "1000000 errors to",
        ),
        ("/connections_opened", most.clone(), "connections_opened is"),
        ("/generator_threads", most.clone(), "generator_threads is"),
        ("/seconds", json!(0), "seconds is 0"),
        ("/seconds", json!(-5), "seconds is -5"),
        ("/seconds", json!(3), "duration"),
        (
            "/achieved_per_second",
            json!(1e300),
            "achieved_per_second is",
        ),
        ("/request_bytes", json!(-1), "request_bytes is -1"),
        (
            "/histograms/response_time",
            crowded(),
            "its distributions have 1000 good",
        ),
        (
            "/histograms/send_lag",
            crowded(),
            "a distribution has 1000 values",
        ),
        ("/histograms/send_lag", json!(""), "send_lag"),
        ("/histograms/send_lag", json!("?"), "base64"),
        ("/histograms", json!({}), "response_time"),
        ("/shard", json!(null), "without --shard"),
        ("/shard/of", json!(0), "shards"),
        ("/shard/of", most, "shards"),
        ("/shard/index", json!(3), "it is shard 3 of 2"),
        ("/shard/index", json!(1), "there twice"),
        (
            "/shard/rate_per_second",
            json!(-200),
            "rate_per_second is -200",
        ),
        ("/shard/rate_per_second", json!(100), "rate 200"),
        ("/shard/warmup_seconds", json!(9), "warm-up"),
        ("/shard/target", json!("GET http://elsewhere/"), "target"),
        ("/shard/deadline_seconds", json!(1), "deadline"),
        ("/shard/connections", json!([1, 1]), "connections"),
        (
            "/seconds",
            json!("long"),
            "is not what loadtest run --out writes",
        ),
    ] {
        let mut changed = written(&second);
        *changed.pointer_mut(place).unwrap() = value.clone();
        std::fs::write(&bad, changed.to_string()).unwrap();
        let ended = merge(&[&first, &bad], &out);
        let told = format!("{place} {value}: {ended:?}");
        assert_eq!(ended.status.code(), Some(2), "{told}");
        is_refused(&ended, &[hint, "bad.json"]);
    }
    for text in ["", "[]", "{}", "null", &"[".repeat(100_000)] {
        std::fs::write(&bad, text).unwrap();
        is_refused(
            &merge(&[&first, &bad], &out),
            &["bad.json", "loadtest run --out"],
        );
    }
    // Shards that are alike in what cannot be.
    for place in ["/shard/of", "/requests"] {
        let paths = [&first, &second].map(|path| {
            let mut changed = written(path);
            *changed.pointer_mut(place).unwrap() = json!(0);
            let path = path.with_extension("changed");
            std::fs::write(&path, changed.to_string()).unwrap();
            path
        });
        is_refused(&merge(&[&paths[0], &paths[1]], &out), &["shard-1.changed"]);
    }
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
}

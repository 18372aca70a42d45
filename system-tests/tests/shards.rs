//! Load from several machines: shards of one schedule, merged, against one generator that sends all of it.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Output},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use loadtest::stats::histogram::LatencyHistogram;
use serde_json::Value;
use system_tests::{Cluster, command, ends, eventually};

/// Requests per second of all together.
const RATE: &str = "600";
/// Enough for a program to start, on a machine that is busy.
const AHEAD: Duration = Duration::from_secs(3);

/// Seconds since 1970, as `--start-at` takes them.
fn moment(from_now: Duration) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + from_now;
    format!("{:.6}", at.as_secs_f64())
}

fn run(url: &str, out: &Path, more: &[&str]) -> Child {
    command("loadtest")
        .args(["run", "--url", url, "--rate", RATE, "--seed", "7"])
        .args([
            "--connections",
            "12",
            "--duration",
            "3s",
            "--warmup",
            "500ms",
        ])
        .arg("--out")
        .arg(out)
        .args(more)
        .spawn()
        .expect("the program starts")
}

fn ended(child: Child) -> Output {
    let mut child = child;
    eventually("the run ends", || {
        child.try_wait().expect("a child can be waited for")
    });
    child.wait_with_output().expect("its output can be read")
}

fn written(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn merge(parts: &[PathBuf], out: &Path) -> Output {
    ends(
        command("loadtest")
            .arg("merge")
            .args(parts)
            .arg("--out")
            .arg(out),
    )
}

/// Three shards at the same moment; the moment of each can be another.
fn three(url: &str, folder: &Path, moments: [&str; 3]) -> Vec<PathBuf> {
    let part = |index: usize| folder.join(format!("shard-{index}.json"));
    let children: Vec<Child> = (0..3)
        .map(|index| {
            let shard = format!("{}/3", index + 1);
            let more = ["--shard", &shard, "--start-at", moments[index]];
            run(url, &part(index), &more)
        })
        .collect();
    for child in children {
        // What it found is in its file.
        ended(child);
    }
    (0..3).map(part).collect()
}

#[test]
fn three_shards_are_one_generator_with_the_same_requests_and_the_same_percentiles() {
    let cluster = Cluster::start(1);
    let url = format!("{}/jwt/public", cluster.stack.gateway_url);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);

    // Before and after, so that their difference shows what one generator is against itself.
    let alone = [path("alone-1.json"), path("alone-2.json")];
    let at = moment(AHEAD);
    ended(run(&url, &alone[0], &["--start-at", &at]));
    let at = moment(AHEAD);
    let parts = three(&url, folder.path(), [&at; 3]);
    let merged = merge(&parts, &path("merged.json"));
    let at = moment(AHEAD);
    ended(run(&url, &alone[1], &["--start-at", &at]));

    let [first, second] = alone.map(|one| written(&one));
    let whole = written(&path("merged.json"));
    let requests: Vec<u64> = parts
        .iter()
        .map(|part| written(part)["requests"].as_u64().unwrap())
        .collect();
    assert_eq!(
        whole["requests"], first["requests"],
        "the same schedule: {requests:?}"
    );
    assert_eq!(
        requests.iter().sum::<u64>(),
        whole["requests"].as_u64().unwrap()
    );
    assert!(requests.iter().all(|count| *count > 500), "{requests:?}");
    assert_eq!(whole["connections_open"], 12, "{whole}");

    // Nothing is lost: each value of each shard is in the whole.
    let histogram = |of: &Value, name: &str| {
        LatencyHistogram::from_v2(of["histograms"][name].as_str().unwrap()).unwrap()
    };
    for name in [
        "response_time",
        "service_time",
        "send_lag",
        "connection_wait",
    ] {
        let mut sum = LatencyHistogram::new();
        for part in &parts {
            sum.merge(&histogram(&written(part), name));
        }
        assert_eq!(histogram(&whole, name), sum, "{name}");
    }

    // The machine may be busy with other tests; what one generator differs by from itself is no difference.
    for quantile in ["p50_us", "p90_us"] {
        let of = |result: &Value| result["response_time"][quantile].as_f64().unwrap();
        let (one, other) = (of(&first), of(&second));
        let (low, high) = (one.min(other) / 2.0, one.max(other) * 2.0);
        let found = of(&whole);
        assert!(
            (low..=high).contains(&found),
            "{quantile}: {found}, alone {one} and {other}"
        );
    }
    let told = String::from_utf8_lossy(&merged.stdout);
    assert!(told.contains("600.0 asked"), "{told}");
}

#[test]
fn a_shard_that_begins_200_ms_late_makes_the_whole_invalid() {
    let cluster = Cluster::start(1);
    let url = format!("{}/jwt/public", cluster.stack.gateway_url);
    let folder = tempfile::tempdir().unwrap();
    let at = moment(AHEAD);
    // Told of its moment when that is 200 ms ago, by hand: whatever starts it is late.
    let late = |at: &str| {
        let at: f64 = at.parse().unwrap();
        let begins = UNIX_EPOCH + Duration::from_secs_f64(at + 0.2);
        if let Ok(rest) = begins.duration_since(SystemTime::now()) {
            std::thread::sleep(rest);
        }
    };
    let part = |index: usize| folder.path().join(format!("shard-{index}.json"));
    let start = |index: usize| {
        let shard = format!("{index}/3");
        run(&url, &part(index), &["--shard", &shard, "--start-at", &at])
    };
    let punctual = [start(1), start(2)];
    late(&at);
    let third = ended(start(3));
    for child in punctual {
        ended(child);
    }
    assert_eq!(third.status.code(), Some(3), "{third:?}");
    let parts: Vec<PathBuf> = (1..=3).map(part).collect();
    let merged = merge(&parts, &folder.path().join("merged.json"));
    assert_eq!(merged.status.code(), Some(3), "{merged:?}");
    let whole = written(&folder.path().join("merged.json"));
    let faults = whole["instrument_faults"].to_string();
    assert!(
        faults.contains("shard 3/3") && faults.contains("after --start-at"),
        "{faults}"
    );
    assert!(String::from_utf8_lossy(&merged.stdout).contains("INVALID: shard 3/3"));
}

#[test]
fn what_are_not_all_the_shards_of_one_run_is_refused_by_name() {
    let cluster = Cluster::start(1);
    let url = format!("{}/jwt/public", cluster.stack.gateway_url);
    let folder = tempfile::tempdir().unwrap();
    let at = moment(AHEAD);
    let other = moment(AHEAD + Duration::from_millis(200));
    let parts = three(&url, folder.path(), [&at, &at, &other]);
    let out = folder.path().join("merged.json");
    for (parts, hint) in [
        (&parts[..2], "shard 3/3 is missing"),
        (&parts[..], "has start"),
        (
            &[parts[0].clone(), parts[1].clone(), parts[1].clone()][..],
            "is there twice",
        ),
    ] {
        let ended = merge(parts, &out);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(told.contains(hint), "{told}");
        assert!(!out.exists(), "nothing is written");
    }
}

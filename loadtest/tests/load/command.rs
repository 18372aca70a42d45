//! `loadtest run` as scripts use it: what it writes, and how it ends.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use loadtest::stats::histogram::LatencyHistogram;
use serde_json::Value;

use super::server::{Reaction, Server, answer, answer_after};

pub(super) fn loadtest(url: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command
        .args(["run", "--url", url, "--warmup", "0s", "--duration", "500ms"])
        .args(more)
        .stdin(Stdio::null());
    command
}

pub(super) fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

pub(super) fn written(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_result_has_what_scripts_read_and_distributions_that_can_be_added() {
    let server = Server::start(|_| answer(200));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let url = server.url();
    let ended = output(loadtest(
        url.as_str(),
        &[
            "--rate",
            "100",
            "--arrivals",
            "uniform",
            "--connections",
            "5",
            "--out",
            out.to_str().unwrap(),
        ],
    ));
    let result = written(&out);
    assert_eq!(result["requests"], 49, "{ended:?}");
    assert!(result["response_time"]["p99_us"].as_f64() > Some(0.0));
    assert_eq!(result["connections_opened"], 5);
    assert_eq!(result["connections_open"], 5);
    assert_eq!(result["connection_wait"]["count"], 49);
    assert_eq!(result["receive_lateness"]["count"], 49);
    let text = result["histograms"]["response_time"].as_str().unwrap();
    let mut histogram = LatencyHistogram::from_v2(text).unwrap();
    histogram.merge(&LatencyHistogram::from_v2(text).unwrap());
    assert_eq!(histogram.count(), 98);
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_anything_is_sent() {
    let server = Server::start(|_| answer(200));
    let ended = output(loadtest(
        server.url().as_str(),
        &["--rate", "100", "--out", "/dev/null/result.json"],
    ));
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("/dev/null/result.json"));
    assert_eq!(server.arrived.load(Ordering::SeqCst), 0);
}

#[test]
fn whoever_stops_reading_costs_neither_the_result_nor_the_exit_code() {
    let server = Server::start(|_| answer(500));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let mut child = loadtest(
        server.url().as_str(),
        // A closed loop cannot be late, so that only the answers count.
        &[
            "--connections",
            "2",
            "--max-error-ratio",
            "0",
            "--out",
            out.to_str().unwrap(),
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(written(&out)["failed_answers"].as_array().unwrap().len(), 1);
}

#[test]
fn a_system_that_falls_behind_is_called_overloaded_and_one_that_does_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    for (delay, overloaded) in [(0, false), (50, true)] {
        let server = Server::start(move |_| answer_after(Duration::from_millis(delay)));
        let ended = output(loadtest(
            server.url().as_str(),
            &[
                "--rate",
                "200",
                "--connections",
                "4",
                "--out",
                out.to_str().unwrap(),
            ],
        ));
        let result = written(&out);
        // On a busy machine the generator may be late, and then says nothing about the system.
        let late = !result["instrument_faults"].as_array().unwrap().is_empty();
        let told = !result["overload"].as_array().unwrap().is_empty();
        assert_eq!(told, overloaded && !late, "{result}");
        let code = match (late, told) {
            (true, _) => 3,
            (_, true) => 4,
            _ => 0,
        };
        assert_eq!(ended.status.code(), Some(code));
    }
}

#[test]
fn method_body_headers_and_the_credentials_of_the_url_are_sent_and_these_never_shown() {
    let server = Server::start(|_| answer(200));
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body");
    std::fs::write(&body, "from a file").unwrap();
    let url = format!("http://ada:pass%20word@{}/path", server.address);
    let file = format!("@{}", body.display());
    let args = [
        "--rate", "20", "--method", "PATCH", "--body", &file, "--header",
    ];
    let ended = output(loadtest(
        &url,
        &[&args[..], &["Content-Type: text/plain"]].concat(),
    ));
    let heads = server.heads.lock().unwrap();
    let sent = heads.first().unwrap();
    assert!(sent.starts_with("PATCH /path HTTP/1.1\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\nfrom a file"), "{sent}");
    assert_eq!(sent.matches("Content-Type: ").count(), 1);
    // printf 'ada:pass word' | base64
    assert!(
        sent.contains("Authorization: Basic YWRhOnBhc3Mgd29yZA==\r\n"),
        "{sent}"
    );
    let shown = [ended.stdout, ended.stderr].concat();
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        !shown.contains("pass") && !shown.contains("YWRh"),
        "{shown}"
    );

    let twice = output(loadtest(
        &url,
        &["--rate", "20", "--header", "authorization: mine"],
    ));
    assert_eq!(twice.status.code(), Some(2));
    let told = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert!(told.contains("--url and --header"), "{told}");
    assert!(!told.contains("mine") && !told.contains("pass"), "{told}");
}

#[test]
fn of_two_credentials_none_is_sent() {
    let server = Server::start(|_| answer(201));
    let ended = output(loadtest(
        server.url().as_str(),
        &[
            "--rate",
            "20",
            "--login",
            "jwt",
            "--header",
            "Authorization: mine",
        ],
    ));
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("--login and --header"), "{told}");
    assert_eq!(
        server.arrived.load(Ordering::SeqCst),
        0,
        "nobody registered"
    );
}

#[test]
fn credentials_in_the_url_of_a_running_system_are_refused_and_not_repeated() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let folder = tempfile::tempdir().unwrap();
    command
        .args([
            "compare",
            "--gateway",
            "http://ada:secret@127.0.0.1:1",
            "--out",
        ])
        .arg(folder.path());
    let ended = output(command);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        told.contains("--gateway") && !told.contains("secret"),
        "{told}"
    );
}

#[test]
fn users_are_registered_the_way_that_the_load_goes_whatever_the_proxy() {
    // A user is registered and logged in; what follows is the load.
    let server = Server::start(|number| match number {
        0 => answer(201),
        1 => Reaction::Answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"access_token\":\"abcd\"}".to_vec(),
        ),
        _ => answer(200),
    });
    let mut command = loadtest(
        server.url().as_str(),
        &["--rate", "20", "--login", "jwt", "--users", "1"],
    );
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        // Nobody listens there.
        command.env(name, "http://127.0.0.1:9");
    }
    for name in ["NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    let ended = output(command);
    let heads = server.heads.lock().unwrap();
    assert!(
        heads
            .first()
            .is_some_and(|head| head.starts_with("POST /auth/register ")),
        "{ended:?}"
    );
    let last = heads.last().unwrap();
    assert!(last.contains("Authorization: Bearer abcd\r\n"), "{last}");
}

#[test]
fn a_disk_that_is_full_costs_the_file_and_not_the_text() {
    let server = Server::start(|_| answer(200));
    let ended = output(loadtest(
        server.url().as_str(),
        &["--rate", "20", "--out", "/dev/full"],
    ));
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("/dev/full"));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("good answers/s"));
}

/// A closed loop of so many connections with so many descriptors at most: the soft and the hard limit.
fn with_descriptors(limit: &str, connections: &str) -> (Option<i32>, Value) {
    let server = Server::start(|_| answer_after(Duration::from_millis(5)));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limit} && exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--url", server.url().as_str()])
        .args([
            "--connections",
            connections,
            "--duration",
            "300ms",
            "--warmup",
            "0s",
            "--out",
        ])
        .arg(&out)
        .stdin(Stdio::null());
    let ended = output(command);
    (ended.status.code(), written(&out))
}

#[test]
fn fewer_connections_than_were_asked_for_are_the_instruments_fault_and_its_cause_is_told() {
    let (code, result) = with_descriptors("ulimit -n 40", "64");
    assert!(result["connections_open"].as_u64() < Some(64));
    let faults = result["instrument_faults"].to_string();
    for part in ["of the 64 connections", "Too many open files", "ulimit -n"] {
        assert!(faults.contains(part), "{part} is missing in {faults}");
    }
    assert_eq!(code, Some(3));
}

#[test]
fn the_limit_of_descriptors_is_raised_as_far_as_it_may() {
    let (code, result) = with_descriptors("ulimit -S -n 40", "64");
    assert_eq!(result["connections_open"], 64, "{result}");
    assert_eq!(code, Some(0));
}

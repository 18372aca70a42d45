//! What `--out` named before stays until there is something to put in its place.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    command::{loadtest, output, written},
    server::{Server, answer},
};

const OLD: &str = "what an hour was spent on";

/// A run of a minute, which none of these tests waits for.
fn long(url: &str, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command
        .args(["run", "--url", url, "--duration", "60s", "--out"])
        .arg(out);
    command
}

/// The only file in its folder.
fn is_old(path: &Path) -> bool {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(entries.count(), 1, "nothing is left beside it");
    text == OLD
}

#[test]
fn a_target_that_is_not_there_ends_the_run_before_it_begins_and_costs_no_file() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://ada:secret@{}/path", closed.local_addr().unwrap());
    drop(closed);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    std::fs::write(&out, OLD).unwrap();
    for load in [["--rate", "10"], ["--connections", "2"]] {
        let mut command = long(&url, &out);
        command.args(load);
        let begun = Instant::now();
        let ended = output(command);
        assert!(begun.elapsed() < Duration::from_secs(30), "{ended:?}");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        for part in [
            "no connection to http://127.0.0.1",
            "refused",
            "Nothing was sent",
        ] {
            assert!(told.contains(part), "{part} is missing in {told}");
        }
        assert!(!told.contains("secret"), "{told}");
        assert!(is_old(&out));
    }
}

#[test]
fn a_run_that_is_killed_leaves_the_file_of_the_last_one() {
    let server = Server::start(|_| answer(200));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    std::fs::write(&out, OLD).unwrap();
    let mut command = long(server.url().as_str(), &out);
    command.args(["--rate", "100"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.arrived.load(Ordering::SeqCst) < 5 {
        assert!(Instant::now() < deadline, "it sends nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_old(&out));

    // One that ends puts its own there.
    let mut command = loadtest(server.url().as_str(), &["--rate", "100"]);
    command.arg("--out").arg(&out);
    output(command);
    assert!(written(&out)["requests"].as_u64() > Some(0));
}

#[test]
fn a_target_that_goes_away_during_the_run_is_measured_to_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/path", listener.local_addr().unwrap());
    // The probe and every connection of the run; then it is gone.
    let server = std::thread::spawn(move || {
        let accepted: Vec<_> = listener
            .incoming()
            .take(1 + 2)
            .map(Result::unwrap)
            .collect();
        drop((accepted, listener));
    });
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let mut command = loadtest(&url, &["--rate", "100", "--arrivals", "uniform"]);
    command.args(["--connections", "2", "--out"]).arg(&out);
    let ended = output(command);
    server.join().unwrap();
    // 3 where this machine was too busy to send in time.
    assert!(matches!(ended.status.code(), Some(1 | 3)), "{ended:?}");
    let result = written(&out);
    assert_eq!(result["requests"], 49, "{result}");
    let failed = result["failed_answers"].to_string();
    assert!(failed.contains("was answered"), "{result}");
}

//! Everything that is started ends, however it is ended, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use system_tests::{Cluster, PATIENCE, command, ends, eventually, runs, within};

#[test]
fn every_service_drains_and_ends_with_0_on_sigterm() {
    let cluster = Cluster::start(1);
    for name in ["gateway", "api-jwt-1", "api-session-1", "auth-service"] {
        cluster.stack.terminate(name).unwrap();
        let status = cluster.stack.wait_exit(name, PATIENCE).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{name}");
    }
}

#[test]
fn a_stopped_stack_has_ended_every_process_cleanly() {
    let cluster = Cluster::start(1);
    let pids: Vec<u32> = cluster
        .stack
        .processes_info()
        .iter()
        .map(|one| one.pid)
        .collect();
    for (name, status) in cluster.stack.stop(PATIENCE) {
        assert!(status.success(), "{name}: {status}");
    }
    assert!(!pids.iter().any(|pid| runs(*pid)));
}

#[test]
fn a_redis_that_does_not_answer_is_told_at_once_by_its_address() {
    let began = Instant::now();
    let output = ends(command("loadtest").args([
        "stack",
        "up",
        "--redis-url",
        "redis://ada:secret@127.0.0.1:1",
    ]));
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the Redis at 127.0.0.1:1"), "{told}");
    assert_eq!(told.matches("refused").count(), 1, "{told}");
    assert!(!told.contains("secret"), "{told}");
    // The whole stack has a minute to become ready.
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn several_auth_services_without_a_database_in_common_are_a_wrong_use() {
    let output = ends(command("loadtest").args(["stack", "up", "--auth-replicas", "2"]));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--postgres"), "{told}");
}

#[test]
fn a_killed_load_test_leaves_no_process_of_postgresql_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let mut loadtest = command("loadtest")
        .args(["stack", "up", "--strategy", "jwt", "--replicas", "1"])
        .args(["--auth-replicas", "2", "--gateways", "2", "--postgres"])
        // Where it makes its folders.
        .env("TMPDIR", folder.path())
        .arg("--ready-file")
        .arg(&file)
        .spawn()
        .unwrap();
    let ready = eventually("the ready file is written", || {
        assert_eq!(
            loadtest.try_wait().unwrap(),
            None,
            "{}",
            said(&mut loadtest)
        );
        read(&file)
    });
    for field in ["gateways", "auths"] {
        assert_eq!(ready[field].as_array().unwrap().len(), 2, "{ready}");
    }
    let processes = ready["processes"].as_array().unwrap();
    let postgres = processes.iter().find(|one| one["name"] == "postgres");
    let pid = u32::try_from(postgres.unwrap()["pid"].as_u64().unwrap()).unwrap();
    let children = children_of(pid);
    assert!(!children.is_empty(), "PostgreSQL has processes of its own");
    signal(&loadtest, Signal::KILL);
    loadtest.wait().unwrap();
    eventually("all are gone", || {
        let gone = !runs(pid) && !children.iter().any(|child| runs(*child));
        gone.then_some(())
    });
}

#[test]
fn what_a_killed_load_test_left_on_the_disk_goes_with_the_next_start_and_a_living_ones_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (temporary, file) = (folder.path().join("tmp"), folder.path().join("ready.json"));
    std::fs::create_dir(&temporary).unwrap();
    let left = || std::fs::read_dir(&temporary).unwrap().count();
    // It ends after it has made its folder: nobody listens there.
    let next = || {
        let up = ["stack", "up", "--redis-url", "redis://127.0.0.1:1"];
        let ended = ends(command("loadtest").args(up).env("TMPDIR", &temporary));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    };
    let mut loadtest = command("loadtest")
        .args(["stack", "up", "--strategy", "jwt", "--replicas", "1"])
        .env("TMPDIR", &temporary)
        .arg("--ready-file")
        .arg(&file)
        .spawn()
        .unwrap();
    eventually("the ready file is written", || read(&file));
    next();
    assert_eq!(left(), 1, "that of the living one");
    signal(&loadtest, Signal::KILL);
    loadtest.wait().unwrap();
    assert_eq!(left(), 1, "it could not remove it itself");
    next();
    assert_eq!(left(), 0);
}

fn children_of(pid: u32) -> Vec<u32> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(file).unwrap();
    text.split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

#[test]
fn a_killed_load_test_leaves_no_process_behind() {
    let (mut loadtest, pids) = stack_up();
    signal(&loadtest, Signal::KILL);
    loadtest.wait().unwrap();
    eventually("all children are gone", || {
        (!pids.iter().any(|pid| runs(*pid))).then_some(())
    });
}

#[test]
fn ctrl_c_and_a_closed_terminal_end_every_process_with_130_and_sigterm_with_0() {
    for (sent, code) in [(Signal::INT, 130), (Signal::HUP, 130), (Signal::TERM, 0)] {
        let (mut loadtest, pids) = stack_up();
        signal(&loadtest, sent);
        assert_eq!(ended(&mut loadtest).code(), Some(code));
        assert!(
            !pids.iter().any(|pid| runs(*pid)),
            "{sent:?} left a process behind"
        );
    }
}

#[test]
fn a_child_that_is_killed_by_hand_is_reported_and_stays_dead() {
    let (mut loadtest, pids) = stack_up();
    let redis = Pid::from_raw(i32::try_from(pids[0]).unwrap()).unwrap();
    kill_process(redis, Signal::KILL).unwrap();
    eventually("Redis is gone", || (!runs(pids[0])).then_some(()));
    signal(&loadtest, Signal::TERM);
    assert_eq!(ended(&mut loadtest).code(), Some(0));
    let mut said = String::new();
    loadtest
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.contains("redis") && said.contains("SIGKILL"), "{said}");
}

#[test]
fn nobody_who_reads_the_log_costs_a_stack_neither_its_start_nor_its_end_and_the_ready_file_goes_with_it()
 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    std::fs::write(&file, "of an earlier stack").unwrap();
    let mut loadtest = start(&file);
    // The pipe has no reader from here on.
    drop(loadtest.stderr.take());
    let ready = eventually("the ready file is written", || {
        assert_eq!(loadtest.try_wait().unwrap(), None);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.starts_with('{').then_some(text)
    });
    assert!(ready.contains("api-jwt-1"), "{ready}");
    signal(&loadtest, Signal::TERM);
    assert_eq!(ended(&mut loadtest).code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stack_whose_addresses_nobody_reads_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let mut loadtest = start(&file);
    drop(loadtest.stdout.take());
    assert_eq!(ended(&mut loadtest).code(), Some(1));
    let said = said(&mut loadtest);
    assert!(said.contains("nobody reads the addresses"), "{said}");
    assert!(!file.exists());
}

#[test]
fn only_its_owner_can_look_into_the_folder_of_a_stack() {
    let cluster = Cluster::start(1);
    let log = cluster.stack.log_path("auth-service").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&log), 0o600);
    assert_eq!(mode(log.parent().unwrap()), 0o700);
}

#[test]
fn a_ready_file_that_cannot_be_written_is_told_before_anything_is_started() {
    let output = ends(
        command("loadtest")
            .args(["stack", "up", "--ready-file", "/dev/null/ready.json"])
            // Nothing could be started either, which would be told otherwise.
            .args(["--bin-dir", "/dev/null"]),
    );
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("/dev/null/ready.json"), "{told}");
}

/// `loadtest stack up` with this ready file.
fn start(ready: &Path) -> Child {
    command("loadtest")
        .args(["stack", "up", "--strategy", "jwt", "--strategy", "session"])
        .args(["--replicas", "1", "--ready-file"])
        .arg(ready)
        .spawn()
        .unwrap()
}

/// The same, ready, and the ids of its children; Redis comes first.
fn stack_up() -> (Child, Vec<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let mut loadtest = start(&file);
    let ready = eventually("the ready file is written", || {
        let status = loadtest.try_wait().unwrap();
        assert_eq!(status, None, "{}", said(&mut loadtest));
        read(&file)
    });
    for field in ["gateway", "auth", "redis"] {
        assert!(
            ready[field].as_str().unwrap().contains("://127.0.0.1:"),
            "{ready}"
        );
    }
    assert_eq!(ready["pools"]["jwt"].as_array().unwrap().len(), 1);
    let clients = ready["clients"].as_array().unwrap();
    assert!(clients.iter().all(|one| one["secret"].is_string()));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the ready file has secrets");
    let processes = ready["processes"].as_array().unwrap();
    let names: Vec<&str> = processes
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "redis",
            "auth-service",
            "api-jwt-1",
            "api-session-1",
            "gateway"
        ]
    );
    let pids: Vec<u32> = processes
        .iter()
        .map(|one| u32::try_from(one["pid"].as_u64().unwrap()).unwrap())
        .collect();
    assert!(pids.iter().all(|pid| runs(*pid)), "{ready}");
    (loadtest, pids)
}

/// The ready file: it is there whole or not at all.
fn read(file: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(serde_json::from_str(&text).expect("the ready file is written whole"))
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut text).unwrap();
    }
    text
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn ended(child: &mut Child) -> ExitStatus {
    let limit = Duration::from_secs(15);
    within(limit, "it ends", || child.try_wait().unwrap()).0
}

//! The program: exit codes, what it says, and signals.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::service::cheap_options;

const EXIT_FAILED_START: i32 = 1;
const EXIT_CONFIG: i32 = 64;

#[test]
fn a_wrong_configuration_ends_with_64_and_names_every_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .env("AUTH_LISTEN", "nowhere")
        .env("AUTH_ALGORITHM", "none")
        .env("AUTH_ACCESS_TOKEN_TTL", "15")
        .env("AUTH_DATABASE_URL", "mysql://ada:opensesame@host/users")
        .output()
        .unwrap();
    let text = said(&output, EXIT_CONFIG);
    for variable in [
        "AUTH_LISTEN",
        "AUTH_ALGORITHM",
        "AUTH_ACCESS_TOKEN_TTL",
        "AUTH_DATABASE_URL",
    ] {
        assert!(text.contains(variable), "{variable} is missing in:\n{text}");
    }
    assert!(!text.contains("opensesame"), "{text}");
}

#[test]
fn the_help_names_every_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for variable in [
        "AUTH_LISTEN",
        "AUTH_WORKERS",
        "AUTH_DATA_DIR",
        "AUTH_DATABASE_URL",
        "AUTH_ISSUER",
        "AUTH_AUDIENCE",
        "AUTH_ALGORITHM",
        "AUTH_SIGNING_KEY_FILES",
        "AUTH_KEY_ENCRYPTION_KEY",
        "AUTH_KEY_ANNOUNCE",
        "AUTH_KEY_ROTATE_EVERY",
        "AUTH_KEY_RETAIN",
        "AUTH_ACCESS_TOKEN_TTL",
        "AUTH_REFRESH_TOKEN_TTL",
        "AUTH_REFRESH_GRACE",
        "AUTH_EXCHANGE_TTL",
        "AUTH_CLIENTS",
        "AUTH_SESSION_IDLE_TTL",
        "AUTH_SESSION_ABSOLUTE_TTL",
        "AUTH_REDIS_URL",
        "AUTH_ARGON2_CONCURRENCY",
        "AUTH_ADMIN_PASSWORD",
        "AUTH_DRAIN_TIMEOUT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "RUST_LOG",
    ] {
        assert!(text.contains(variable), "{variable} is missing in the help");
    }
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let folder = file.join("data");
    let text = said(
        &start(&folder).wait_with_output().unwrap(),
        EXIT_FAILED_START,
    );
    assert!(text.contains(folder.to_str().unwrap()), "{text}");
    assert!(text.contains("AUTH_DATA_DIR"), "{text}");
}

#[test]
fn a_corrupt_or_exposed_key_file_is_named_with_the_remedy() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("key-encryption.key");
    fs::write(&file, "AAAA").unwrap();
    for (mode, remedy) in [(0o600, "restore it from a backup"), (0o644, "chmod 600")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = start(data.path()).wait_with_output().unwrap();
        let text = said(&output, EXIT_FAILED_START);
        assert!(text.contains(file.to_str().unwrap()), "{text}");
        assert!(text.contains(remedy), "{text}");
        assert!(!text.contains("AAAA"), "{text}");
    }
}

#[test]
fn a_lost_encryption_key_is_named_with_the_remedy() {
    let data = tempfile::tempdir().unwrap();
    let mut process = start(data.path());
    let log = BufReader::new(process.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("serving")),
        "it never served"
    );
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    lines.for_each(drop);
    assert_eq!(process.wait().unwrap().code(), Some(0));

    let file = data.path().join("key-encryption.key");
    fs::remove_file(&file).unwrap();
    let output = start(data.path()).wait_with_output().unwrap();
    let text = said(&output, EXIT_FAILED_START);
    for part in [
        file.to_str().unwrap(),
        "AUTH_KEY_ENCRYPTION_KEY",
        "signing_keys",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn a_database_file_that_is_none_is_named() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("users.sqlite");
    fs::write(&file, "x".repeat(4096)).unwrap();
    let text = said(
        &start(data.path()).wait_with_output().unwrap(),
        EXIT_FAILED_START,
    );
    assert!(text.contains("AUTH_DATABASE_URL"), "{text}");
}

#[test]
fn a_database_server_that_is_not_there_is_named_without_its_password() {
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .args(cheap_options(data.path()))
        .arg("--listen=127.0.0.1:0")
        // Nothing listens on the discard port.
        .arg("--database-url=postgres://ada:opensesame@127.0.0.1:9/users")
        .output()
        .unwrap();
    let text = said(&output, EXIT_FAILED_START);
    assert!(text.contains("Connection refused"), "{text}");
    assert!(text.contains("AUTH_DATABASE_URL"), "{text}");
    assert!(!text.contains("opensesame"), "{text}");
}

#[test]
fn a_taken_port_is_named_with_its_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .env("AUTH_LISTEN", &address)
        .output()
        .unwrap();
    let text = said(&output, EXIT_FAILED_START);
    assert!(text.contains(&address), "{text}");
    assert!(text.contains("AUTH_LISTEN"), "{text}");
}

#[test]
fn sigterm_ends_the_program_well() {
    let data = tempfile::tempdir().unwrap();
    let mut process = start(data.path());
    let log = BufReader::new(process.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("serving")),
        "it never served"
    );
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    assert!(
        lines.any(|line| line.contains("draining")),
        "it never drained"
    );
    // Read on, so that the program never waits for a reader.
    lines.for_each(drop);
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_task_without_what_it_needs_is_a_wrong_configuration() {
    let output = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .arg("restore-administrator")
        .output()
        .unwrap();
    let text = said(&output, EXIT_CONFIG);
    assert!(text.contains("AUTH_ADMIN_USERNAME"), "{text}");
}

fn start(data: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .args(cheap_options(data))
        .arg("--listen=127.0.0.1:0")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

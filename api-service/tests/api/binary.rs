//! The binary: its exit codes and what it says when it cannot start.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

pub(crate) fn binary(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api-service"));
    command
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn ends(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = binary(variables).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_wrong_configuration_ends_with_64_and_all_faults_at_once() {
    let (code, text) = ends(&[
        ("API_STRATEGY", "jwt"),
        ("API_LISTEN", "nowhere"),
        ("API_JWKS_REFRESH", "5"),
        ("API_MAX_TOKEN_LIFETIME", "0s"),
    ]);
    assert_eq!(code, Some(64), "{text}");
    for variable in ["API_LISTEN", "API_JWKS_REFRESH", "API_MAX_TOKEN_LIFETIME"] {
        assert!(text.contains(variable), "{variable} is missing in:\n{text}");
    }
}

#[test]
fn without_a_strategy_it_says_which_there_are() {
    let (code, text) = ends(&[]);
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("API_STRATEGY: is required: one of jwt, jwt-revocable, session,"),
        "{text}"
    );
}

#[test]
fn a_port_that_is_taken_ends_with_1_and_names_the_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = ends(&[("API_STRATEGY", "session"), ("API_LISTEN", &address)]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&address) && text.contains("API_LISTEN"),
        "{text}"
    );
}

#[test]
fn a_signal_to_stop_ends_it_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut process = binary(&[
            ("API_STRATEGY", "session"),
            ("API_LISTEN", &address),
            ("API_DRAIN_GRACE", "0s"),
        ])
        .spawn()
        .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&process), signal).unwrap();
        let status = process.wait().unwrap();
        let mut text = String::new();
        process.stderr.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(status.code(), Some(0), "{text}");
    }
}

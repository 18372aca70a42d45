//! A log that nobody reads costs nothing but its lines: no task dies of it, and SIGTERM goes on working.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    fs::File,
    io::{PipeReader, pipe},
    net::TcpListener,
    process::Stdio,
};

use system_tests::{Service, command, ends, eventually};
use testkit::redis::Redis;

fn api(strategy: &str, redis: &str, stderr: impl Into<Stdio>) -> Service {
    let mut api = command("api-service");
    api.env("API_STRATEGY", strategy)
        .env("API_REDIS_URL", redis)
        .env("API_DRAIN_GRACE", "100ms")
        .stdout(Stdio::null())
        .stderr(stderr);
    Service::start(api, "API_LISTEN")
}

fn gateway(members: &[&Service], stderr: impl Into<Stdio>) -> Service {
    let members: Vec<&str> = members
        .iter()
        .map(|member| member.url.trim_start_matches("http://"))
        .collect();
    let mut gateway = command("gateway");
    gateway
        .env("GATEWAY_ROUTES", "/api=api")
        .env("GATEWAY_POOLS", format!("api={}", members.join(",")))
        .env("GATEWAY_DRAIN_GRACE", "100ms")
        .stdout(Stdio::null())
        .stderr(stderr);
    Service::start(gateway, "GATEWAY_LISTEN")
}

/// A pipe whose reader is gone.
fn deaf() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A pipe that nobody reads.
fn stalled() -> (PipeReader, Stdio) {
    let (reader, writer) = pipe().unwrap();
    (reader, writer.into())
}

#[test]
fn a_service_whose_log_has_no_reader_recovers_and_ends() {
    let mut redis = Redis::start();
    let url = redis.url();
    let session = api("session", &url, deaf());
    let revocable = api("session-cached", &url, deaf());
    for api in [&session, &revocable] {
        api.wait("it is ready", true);
    }
    redis.kill();
    for api in [&session, &revocable] {
        api.wait("it notices that Redis is gone", false);
    }
    redis.restart();
    for api in [&session, &revocable] {
        api.wait("it is ready again", true);
    }
    session.ends_on_sigterm();
    revocable.ends_on_sigterm();
}

#[test]
fn a_gateway_whose_log_has_no_reader_takes_a_member_back() {
    let mut redis = Redis::start();
    let api = api("session", &redis.url(), Stdio::null());
    api.wait("the member is ready", true);
    let gateway = gateway(&[&api], deaf());
    let healthy = |wanted: bool| {
        eventually("the gateway sees the member as it is", || {
            let word = format!("\"healthy\":{wanted}");
            gateway.text("/pools")?.contains(&word).then_some(())
        });
    };
    healthy(true);
    redis.kill();
    healthy(false);
    redis.restart();
    healthy(true);
    gateway.ends_on_sigterm();
}

#[test]
fn a_reader_that_stops_reading_stops_no_service() {
    let redis = Redis::start();
    let (_reader, stderr) = stalled();
    let mut chatty = command("api-service");
    chatty
        .env("API_STRATEGY", "session")
        .env("API_REDIS_URL", redis.url())
        .env("API_DRAIN_GRACE", "100ms")
        .env("RUST_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(stderr);
    let api = Service::start(chatty, "API_LISTEN");
    api.wait("it is ready", true);
    eventually("lines are lost", || {
        let metrics = api.text("/metrics")?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("statewise_log_lines_lost_total "))?;
        line.trim().parse::<f64>().ok().filter(|lost| *lost > 0.0)
    });
    assert_eq!(api.status("/me"), Some(401));
    api.ends_on_sigterm();
}

#[test]
fn a_full_disk_under_the_log_stops_no_service() {
    let redis = Redis::start();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let api = api("session", &redis.url(), full);
    api.wait("it is ready", true);
    api.ends_on_sigterm();
}

#[test]
fn what_cannot_be_said_does_not_change_the_exit_code() {
    for (program, variable) in [
        ("api-service", "API_LISTEN"),
        ("auth-service", "AUTH_LISTEN"),
        ("gateway", "GATEWAY_LISTEN"),
    ] {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = held.local_addr().unwrap().to_string();
        for (value, code) in [("nonsense", 64), (taken.as_str(), 1)] {
            let mut command = command(program);
            command
                .env(variable, value)
                .env("API_STRATEGY", "jwt")
                .env("AUTH_DATA_DIR", std::env::temp_dir().join("statewise-none"))
                .stderr(deaf());
            let output = ends(&mut command);
            assert_eq!(output.status.code(), Some(code), "{program} {value}");
        }
    }
    let mut check = command("gateway");
    check.args(["healthcheck", "nonsense"]).stderr(deaf());
    assert_eq!(ends(&mut check).status.code(), Some(1));
}

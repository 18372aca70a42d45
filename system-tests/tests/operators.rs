//! Operators can have a port of their own, and then callers see nothing of theirs.

use std::process::{Command, Stdio};

use loadtest::subject::usage::Meter;
use system_tests::{Service, command, ends, eventually, service::free_port};

/// A service of this program, and the same as its operators see it.
fn start(program: &str, prefix: &str, data: &str, port: u16) -> (Service, Service) {
    let mut command = quiet(program);
    command
        .env("API_STRATEGY", "session")
        // Nobody is there: the replica is not ready.
        .env(
            "API_REDIS_URL",
            format!("redis://127.0.0.1:{}", free_port()),
        )
        .env("AUTH_DATA_DIR", data)
        .env(
            format!("{prefix}_ADMIN_LISTEN"),
            format!("127.0.0.1:{port}"),
        );
    let service = Service::start(command, &format!("{prefix}_LISTEN"));
    let operators = service.at_port(port);
    (service, operators)
}

fn quiet(program: &str) -> Command {
    let mut command = command(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn with_a_listener_of_their_own_operators_find_everything_there_and_callers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for (program, prefix, ready) in [("auth-service", "AUTH", 200), ("api-service", "API", 503)] {
        let (service, operators) = start(program, prefix, data, free_port());
        eventually("it says how it is", || {
            (operators.status("/readyz") == Some(ready)).then_some(())
        });
        for (path, of_operators, of_callers) in [
            ("/healthz", 200, 200),
            ("/metrics", 200, 404),
            ("/readyz", ready, 404),
            ("/openapi.json", 404, 200),
            ("/public", 404, if prefix == "API" { 200 } else { 404 }),
        ] {
            assert_eq!(
                operators.status(path),
                Some(of_operators),
                "{program} {path}"
            );
            assert_eq!(service.status(path), Some(of_callers), "{program} {path}");
        }
        service.ends_on_sigterm();
        assert_eq!(
            operators.status("/healthz"),
            None,
            "{program}: the port is closed"
        );
    }
}

#[test]
fn the_load_test_finds_the_metrics_of_a_running_system_at_the_port_of_its_operators() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let port = free_port();
    let (auth, operators) = start("auth-service", "AUTH", data, port);
    operators.wait("it is ready", true);
    assert_eq!(auth.status("/metrics"), Some(404));
    let mut gateway = quiet("gateway");
    gateway
        .env("GATEWAY_ROUTES", "/auth=auth")
        .env(
            "GATEWAY_POOLS",
            format!("auth={}", auth.url.trim_start_matches("http://")),
        )
        .env("GATEWAY_HEALTH_PORT", port.to_string());
    let gateway = Service::start(gateway, "GATEWAY_LISTEN");
    gateway.wait("it is ready", true);
    let mut meter = Meter::of_found(Some(&gateway.url.parse().unwrap()), None).unwrap();
    let memory = meter.read().unwrap().memory();
    let names: Vec<&str> = memory.keys().map(String::as_str).collect();
    assert_eq!(names, ["auth-service-1", "gateway"]);
}

#[test]
fn a_gateway_checks_the_health_of_members_at_the_port_of_their_operators() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let port = free_port();
    let (auth, operators) = start("auth-service", "AUTH", data, port);
    operators.wait("it is ready", true);
    let mut gateway = quiet("gateway");
    gateway
        .env("GATEWAY_ROUTES", "/auth=auth")
        .env(
            "GATEWAY_POOLS",
            format!("auth={}", auth.url.trim_start_matches("http://")),
        )
        .env("GATEWAY_HEALTH_PORT", port.to_string());
    let gateway = Service::start(gateway, "GATEWAY_LISTEN");
    eventually("the member is healthy", || {
        let pools = gateway.text("/pools")?;
        pools.contains("\"healthy\":true").then_some(())
    });
    let keys = gateway.status("/auth/.well-known/jwks.json");
    assert_eq!(keys, Some(200));
}

#[test]
fn a_port_of_operators_that_is_taken_is_told_with_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (program, variable) in [
        ("auth-service", "AUTH_ADMIN_LISTEN"),
        ("api-service", "API_ADMIN_LISTEN"),
    ] {
        let mut command = command(program);
        command
            .env("API_STRATEGY", "jwt")
            .env("AUTH_DATA_DIR", folder.path())
            .env("AUTH_LISTEN", "127.0.0.1:0")
            .env("API_LISTEN", "127.0.0.1:0")
            .env(variable, &taken);
        let output = ends(&mut command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(variable) && said.contains(&taken), "{said}");
    }
}

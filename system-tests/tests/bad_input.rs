//! Wrong configurations and wrong requests: said clearly, all at once, and nothing breaks.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

use serde_json::json;
use system_tests::{Cluster, cluster::answer, command, ends};

/// Exit code of a wrong configuration, `EX_USAGE` of `sysexits.h`.
const WRONG_CONFIGURATION: i32 = 64;

fn with(name: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = command(name);
    command.envs(variables.iter().copied());
    command
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// Sets every variable to something wrong and expects every one to be named, in one go.
#[track_caller]
fn every_fault_is_told(name: &str, wrong: &[(&str, &str)]) {
    let output = ends(&mut with(name, wrong));
    let names: Vec<&str> = wrong.iter().map(|(variable, _)| *variable).collect();
    assert_ends(&output, WRONG_CONFIGURATION, &names);
}

#[test]
fn the_auth_service_tells_every_fault_of_its_configuration_at_once() {
    every_fault_is_told(
        "auth-service",
        &[
            ("AUTH_LISTEN", "here"),
            ("AUTH_WORKERS", "none"),
            ("AUTH_ALGORITHM", "HS256"),
            ("AUTH_ACCESS_TOKEN_TTL", "15"),
            ("AUTH_REDIS_URL", "http://127.0.0.1"),
            ("AUTH_REDIS_TIMEOUT", "soon"),
            ("AUTH_ARGON2_ITERATIONS", "0"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("LOG_FORMAT", "xml"),
        ],
    );
}

#[test]
fn the_api_service_tells_every_fault_of_its_configuration_at_once() {
    every_fault_is_told(
        "api-service",
        &[
            ("API_LISTEN", "here"),
            ("API_WORKERS", "0"),
            ("API_STRATEGY", "magic"),
            ("API_LEEWAY", "soon"),
            ("API_REDIS_TIMEOUT", "5"),
            ("API_SESSION_CACHE", "many"),
            ("API_DRAIN_TIMEOUT", "0s"),
            ("LOG_FORMAT", "xml"),
        ],
    );
}

#[test]
fn the_api_service_checks_what_its_strategy_needs() {
    let wrong = [
        ("API_LEEWAY", "soon"),
        ("API_JWKS_URL", "nowhere"),
        ("API_JWKS_REFRESH", "0s"),
    ];
    let output = ends(with("api-service", &wrong).env("API_STRATEGY", "jwt"));
    assert_ends(
        &output,
        WRONG_CONFIGURATION,
        &wrong.map(|(variable, _)| variable),
    );
    let wrong = [
        ("API_REDIS_URL", "http://127.0.0.1"),
        ("API_REDIS_TIMEOUT", "5"),
    ];
    let output = ends(with("api-service", &wrong).env("API_STRATEGY", "session"));
    assert_ends(
        &output,
        WRONG_CONFIGURATION,
        &wrong.map(|(variable, _)| variable),
    );
}

#[test]
fn the_gateway_tells_every_fault_of_its_configuration_at_once() {
    every_fault_is_told(
        "gateway",
        &[
            ("GATEWAY_LISTEN", "here"),
            ("GATEWAY_THREADS", "0"),
            ("GATEWAY_ROUTES", "auth"),
            ("GATEWAY_POOLS", "auth=nowhere"),
            ("GATEWAY_HEALTH_INTERVAL", "0s"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "jaeger"),
        ],
    );
}

#[test]
fn the_load_test_refuses_what_it_does_not_know_with_its_usage() {
    let output = ends(command("loadtest").args(["compare", "--nonsense"]));
    assert_ends(&output, 2, &["--nonsense", "Usage"]);
}

#[test]
fn a_load_that_reaches_nobody_is_no_success() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let run = ["run", "--url", &url, "--rate", "20", "--duration", "1s"];
    let output = ends(command("loadtest").args(run));
    assert_ends(&output, 1, &["no connection to", &url, "Nothing was sent"]);
}

#[test]
fn without_a_redis_server_the_load_test_says_how_to_get_one() {
    let empty = tempfile::tempdir().unwrap();
    let output = ends(
        command("loadtest")
            .args(["stack", "up"])
            .env("PATH", empty.path()),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for part in [
        "redis-server",
        "valkey-server",
        "apt-get",
        "dnf",
        "brew",
        "--redis-url",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn without_our_programs_the_load_test_says_how_to_build_them() {
    let empty = tempfile::tempdir().unwrap();
    let output = ends(
        command("loadtest")
            .args(["stack", "up", "--bin-dir"])
            .arg(empty.path()),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("cargo build --workspace --bins"), "{said}");
}

#[test]
fn a_taken_port_is_named_with_the_variable_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    for (name, variables) in [
        (
            "auth-service",
            vec![("AUTH_LISTEN", address.as_str()), ("AUTH_DATA_DIR", folder)],
        ),
        (
            "api-service",
            vec![("API_LISTEN", &address), ("API_STRATEGY", "jwt")],
        ),
        (
            "gateway",
            vec![
                ("GATEWAY_LISTEN", &address),
                ("GATEWAY_ROUTES", "/auth=auth"),
                ("GATEWAY_POOLS", "auth=127.0.0.1:1"),
            ],
        ),
    ] {
        let output = ends(&mut with(name, &variables));
        assert_ends(&output, 1, &[&address, variables[0].0]);
    }
}

/// Settings of an auth-service that would start.
fn auth_in(folder: &str) -> Command {
    with(
        "auth-service",
        &[("AUTH_LISTEN", "127.0.0.1:0"), ("AUTH_DATA_DIR", folder)],
    )
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    // Below a regular file nobody can make a folder, whatever their permissions.
    let below = file.join("data");
    let output = ends(&mut auth_in(below.to_str().unwrap()));
    assert_ends(&output, 1, &[below.to_str().unwrap(), "AUTH_DATA_DIR"]);
}

#[test]
fn a_corrupt_key_file_is_named_and_its_content_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IGtleQ==\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let mut service = auth_in(folder.path().to_str().unwrap());
    let output = ends(service.env("AUTH_SIGNING_KEY_FILES", &key));
    assert_ends(&output, 1, &[key.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("c2VjcmV0"), "the key is told: {said}");
}

#[test]
fn wrong_requests_are_answered_with_what_is_wrong_and_the_next_one_works() {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let url = format!("{}/auth/login", cluster.stack.gateway_url);
    let raw = |body: Vec<u8>| {
        let request = cluster
            .client
            .post(&url)
            .header("content-type", "application/json");
        answer(request.body(body))
    };
    let login = json!({"username": "ada", "password": "wrong", "credential": "magic"});
    for (what, found, status) in [
        ("malformed JSON", raw(b"{\"username\": ".to_vec()), 400),
        ("no UTF-8", raw(vec![b'"', 0xff, b'"']), 400),
        (
            "an unknown credential",
            answer(cluster.post("/auth/login", &login)),
            400,
        ),
        ("1 MiB", raw(vec![b' '; 1 << 20]), 413),
        (
            "another media type",
            answer(cluster.client.post(&url).body("username=ada")),
            415,
        ),
        ("an unknown prefix", answer(cluster.get("/nowhere")), 404),
        ("an unknown path", answer(cluster.get("/jwt/nowhere")), 404),
        ("another method", answer(cluster.get("/auth/login")), 405),
    ] {
        assert_eq!(found.status, status, "{what}: {found:?}");
        assert_eq!(
            found.header("content-type"),
            "application/problem+json",
            "{what}"
        );
        assert_eq!(found.json["status"], status, "{what}: {found:?}");
    }
    assert_eq!(cluster.log_in("ada", "token").status, 200);
}

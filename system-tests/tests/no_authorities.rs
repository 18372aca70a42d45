//! On a machine without certificates of authorities: what speaks http only runs, and what cannot go
//! over https says what is missing.

use std::process::{Command, Stdio};

use system_tests::{Service, command, ends, eventually, spans::Receiver};
use tempfile::TempDir;

/// Each program, where it learns its address, and a path that makes a span.
const SERVICES: [(&str, &str, &str); 3] = [
    ("api-service", "API_LISTEN", "/public"),
    ("auth-service", "AUTH_LISTEN", "/.well-known/jwks.json"),
    ("gateway", "GATEWAY_LISTEN", "/jwt/public"),
];

/// A program that finds no authority, and sends its spans there.
fn program(name: &str, endpoint: &str, folder: &TempDir) -> Command {
    let mut command = command(name);
    command
        .current_dir(folder.path())
        // In place of the machine's: a file without any.
        .env("SSL_CERT_FILE", "/dev/null")
        .env("API_STRATEGY", "jwt")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20");
    command
}

#[test]
fn where_all_addresses_are_of_http_every_service_runs_and_is_traced() {
    let folder = tempfile::tempdir().unwrap();
    for (name, listen, path) in SERVICES {
        let receiver = Receiver::start();
        let mut command = program(name, &receiver.endpoint, &folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let service = Service::start(command, listen);
        eventually("it answers", || service.status(path));
        eventually("a span is exported", || receiver.all().first().cloned());
        service.ends_on_sigterm();
    }
}

#[test]
fn spans_over_https_end_the_start_with_1_and_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, listen, _) in SERVICES {
        let endpoint = "https://user:hunter2@collector.example:4318";
        let mut command = program(name, endpoint, &folder);
        let output = ends(command.env(listen, "127.0.0.1:0"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        for wanted in ["https://collector.example:4318", "SSL_CERT_FILE"] {
            assert!(said.contains(wanted), "{name}: {said}");
        }
        assert!(!said.contains("hunter2"), "{name}: {said}");
    }
}

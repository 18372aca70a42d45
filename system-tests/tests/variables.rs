//! A variable that is set but empty is unset, as Compose files and shells hand it on.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{collections::BTreeSet, fs::File, process::Stdio};

use system_tests::{
    Service, command, ends, eventually,
    spans::{Receiver, Span},
};

const SERVICES: [(&str, &str); 3] = [
    ("api-service", "API_LISTEN"),
    ("auth-service", "AUTH_LISTEN"),
    ("gateway", "GATEWAY_LISTEN"),
];

/// Every variable that a program names in its own reference.
fn variables(program: &str) -> BTreeSet<String> {
    let output = ends(command(program).arg("--help"));
    let help = String::from_utf8(output.stdout).unwrap();
    let named = help.split("[env: ").skip(1);
    named
        .filter_map(|rest| rest.split(['=', ']']).next())
        .map(str::to_owned)
        .collect()
}

/// The standard variables that the OpenTelemetry SDK reads itself.
const OF_THE_SDK: [&str; 6] = [
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_RESOURCE_ATTRIBUTES",
];

#[test]
fn a_service_starts_with_every_variable_empty_as_with_none() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    for (program, listen) in SERVICES {
        let all = variables(program);
        assert!(
            all.len() > 25 && all.contains("OTEL_TRACES_SAMPLER"),
            "{all:?}"
        );
        let mut command = command(program);
        // In the working folder is what has a default below it.
        command.current_dir(folder.path());
        for name in all.iter().map(String::as_str).chain(OF_THE_SDK) {
            command.env(name, "");
        }
        command
            .env("API_STRATEGY", "jwt")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let service = Service::start(command, listen);
        eventually("it lives", || {
            (service.status("/healthz") == Some(200)).then_some(())
        });
        service.ends_on_sigterm();
    }
}

#[test]
fn a_variable_that_is_no_setting_is_told_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    for ((program, listen), stray) in SERVICES.into_iter().zip([
        "API_STRATEGIE",
        "AUTH_REDIS",
        // That of an earlier version.
        "GATEWAY_TRUST_FORWARDED",
    ]) {
        let log = folder.path().join(program);
        let mut command = command(program);
        command
            .current_dir(folder.path())
            .env("API_STRATEGY", "jwt")
            .env("RUST_LOG", "warn")
            .env(stray, "true")
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let service = Service::start(command, listen);
        let told = format!("{stray} is set and is no setting");
        eventually("it says so", || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.contains(&told).then_some(())
        });
        eventually("it lives all the same", || {
            (service.status("/healthz") == Some(200)).then_some(())
        });
        service.ends_on_sigterm();
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text.matches("is no setting").count(), 1, "{text}");
    }
}

#[test]
fn what_is_required_is_asked_for_when_it_is_empty() {
    let output = ends(command("api-service").env("API_STRATEGY", ""));
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("API_STRATEGY"), "{said}");
}

/// A span that a service exports with these variables.
fn exported(variables: &[(&str, &str)]) -> Span {
    let receiver = Receiver::start();
    let mut command = command("api-service");
    command
        .env("API_STRATEGY", "jwt")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let service = Service::start(command, "API_LISTEN");
    eventually("it answers", || service.status("/public"));
    eventually("a span is exported", || receiver.all().first().cloned())
}

#[test]
fn the_environment_names_the_service_and_the_program_does_when_it_says_nothing() {
    let (name, attributes) = ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES");
    let edge = "deployment.environment=test,service.name=edge";
    for (variables, wanted) in [
        (&[][..], "api-service"),
        (&[(attributes, edge)], "edge"),
        (&[(name, "front"), (attributes, edge)], "front"),
        (&[(name, ""), (attributes, edge)], "edge"),
        (&[(name, ""), (attributes, "service.name=")], "api-service"),
    ] {
        assert_eq!(exported(variables).service, wanted, "{variables:?}");
    }
}

#[test]
fn headers_of_spans_take_the_place_of_those_of_all_exports_unless_they_are_empty() {
    let (all, spans) = (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    );
    let key = "authorization=Basic%20all";
    for (variables, wanted) in [
        (&[][..], ""),
        (&[(all, key)], "Basic all"),
        (&[(all, key), (spans, "")], "Basic all"),
        (&[(all, key), (spans, "authorization=spans")], "spans"),
        (&[(all, ""), (spans, "authorization=spans")], "spans"),
    ] {
        assert_eq!(exported(variables).authorization, wanted, "{variables:?}");
    }
}

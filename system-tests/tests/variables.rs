//! A variable that is set but empty is unset, as Compose files and shells hand it on.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Stdio,
    thread,
    time::Duration,
};

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
        for name in &all {
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
    exported_with_metrics(variables).0
}

/// The same, and its metrics.
fn exported_with_metrics(variables: &[(&str, &str)]) -> (Span, String) {
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
    let span = eventually("a span is exported", || receiver.all().first().cloned());
    (span, service.text("/metrics").unwrap())
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
fn spans_and_metrics_say_alike_who_made_them_and_where() {
    let attributes = "deployment.environment.name=test%20bench,service.instance.id=blue";
    let names = [
        ("OTEL_SERVICE_NAME", "api-jwt"),
        ("OTEL_RESOURCE_ATTRIBUTES", attributes),
    ];
    let (span, metrics) = exported_with_metrics(&names);
    for (name, value) in [
        ("service.namespace", "statewise"),
        ("service.name", "api-jwt"),
        ("service.instance.id", "blue"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test bench"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(
            span.resource.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(
        span.resource.contains_key("host.name"),
        "{:?}",
        span.resource
    );
    let told = metrics.lines().find(|line| line.starts_with("target_info"));
    let told = told.unwrap_or_default();
    assert!(told.contains("service_name=\"api-jwt\""), "{told}");
    assert!(told.contains("service_instance_id=\"blue\""), "{told}");
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

#[test]
fn exports_are_compressed_where_that_is_asked_for() {
    let (all, spans) = (
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    );
    for (variables, wanted) in [
        (&[(all, "gzip")][..], "gzip"),
        (&[(all, "gzip"), (spans, "none")], ""),
    ] {
        assert_eq!(exported(variables).encoding, wanted, "{variables:?}");
    }
}

#[test]
fn what_opentelemetry_has_and_we_have_not_is_refused_by_its_name() {
    let wrong = [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_RESOURCE_ATTRIBUTES", "staging"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1s"),
    ];
    let output = ends(
        command("api-service")
            .env("API_STRATEGY", "jwt")
            .envs(wrong),
    );
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    for (name, _) in wrong {
        assert!(said.contains(&format!("{name}: ")), "{name} in {said}");
    }
    assert!(
        said.contains("\"b3\" is not built in; use tracecontext"),
        "{said}"
    );
}

#[test]
fn no_spans_are_made_for_nobody_and_a_console_gets_lines() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    for (exporter, disabled, lines) in [("none", "", 0), ("console", "true", 0), ("console", "", 1)]
    {
        let output = folder.path().join(format!("{exporter}{disabled}"));
        let mut command = command("api-service");
        command
            .env("API_STRATEGY", "jwt")
            .env("OTEL_TRACES_EXPORTER", exporter)
            .env("OTEL_SDK_DISABLED", disabled)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .stdout(File::create(&output).unwrap())
            .stderr(Stdio::null());
        let service = Service::start(command, "API_LISTEN");
        eventually("it answers", || {
            (service.status("/public") == Some(200)).then_some(())
        });
        // Whatever it has is exported before it ends.
        service.ends_on_sigterm();
        let told = std::fs::read_to_string(&output).unwrap();
        assert_eq!(
            told.matches("GET /public").count(),
            lines,
            "{exporter}: {told}"
        );
    }
    assert_eq!(receiver.all().len(), 0);
}

#[test]
fn a_trace_that_is_not_to_be_propagated_begins_anew() {
    let receiver = Receiver::start();
    let mut command = command("api-service");
    command
        .env("API_STRATEGY", "jwt")
        .env("OTEL_PROPAGATORS", "none")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let service = Service::start(command, "API_LISTEN");
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let client = reqwest::blocking::Client::new();
    eventually("it answers", || {
        let request = client.get(format!("{}/public", service.url));
        let parent = format!("00-{id}-00f067aa0ba902b7-01");
        request.header("traceparent", parent).send().ok()
    });
    let span = eventually("a span is exported", || receiver.all().first().cloned());
    assert_ne!(span.trace_id, id);
    assert_eq!(span.parent, "", "{span:?}");
}

/// Who is asked to take spans and does not.
fn unwilling(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
            // All of the request, so that the answer is not lost with the connection.
            while let Ok(1..) = stream.read(&mut [0; 4096]) {}
            let _ = stream.write_all(answer);
        }
    });
    format!("http://{address}")
}

#[test]
fn a_collector_that_takes_nothing_is_told_of_once_and_what_is_lost_is_counted() {
    // What a server of HTTP/2 answers to HTTP/1.1: its settings, and the end.
    const GRPC: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0";
    const REFUSING: &[u8] =
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let folder = tempfile::tempdir().unwrap();
    for (name, endpoint, cause) in [
        (
            "grpc",
            unwilling(GRPC),
            "somebody is there and did not take them",
        ),
        ("refusing", unwilling(REFUSING), "404"),
        ("dead", nobody, "no connection: "),
    ] {
        let log = folder.path().join(name);
        let service = exporting(&endpoint, &log);
        eventually("spans of three exports are lost", || {
            let _ = service.status("/public");
            (value(&service, "statewise_spans_lost_total{reason=\"not_taken\"}")? >= 3.0)
                .then_some(())
        });
        let text = std::fs::read_to_string(&log).unwrap();
        let told: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("the collector of spans at"))
            .collect();
        assert_eq!(told.len(), 1, "{text}");
        assert!(
            told[0].contains(cause) && told[0].contains("/v1/traces"),
            "{text}"
        );
        assert_eq!(value(&service, "statewise_spans_exported_total"), Some(0.0));
    }
}

#[test]
fn spans_that_there_is_no_room_for_are_counted() {
    // Connections open and nothing answers.
    let hanging = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let service = exporting(&endpoint, &folder.path().join("log"));
    eventually("more spans than have room are dropped", || {
        let _ = service.status("/public");
        (value(
            &service,
            "statewise_spans_lost_total{reason=\"queue_full\"}",
        )? >= 3.0)
            .then_some(())
    });
}

/// A service that exports each span at once, and keeps eight.
fn exporting(endpoint: &str, log: &Path) -> Service {
    let mut command = command("api-service");
    command
        .env("API_STRATEGY", "jwt")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap());
    let service = Service::start(command, "API_LISTEN");
    eventually("it answers", || service.status("/public"));
    service
}

/// The value of a metric.
fn value(service: &Service, metric: &str) -> Option<f64> {
    let text = service.text("/metrics")?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

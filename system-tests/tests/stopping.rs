//! A stop takes as long as its drain may take and a second, however the receiver of spans behaves, and
//! until then whoever comes is served.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use reqwest::blocking::Client;
use system_tests::{Service, command, eventually, service::free_port, spans::Receiver};
use tempfile::TempDir;

/// Longer than the last flush may take: who took nothing during it is not waited for after it.
const GRACE: Duration = Duration::from_millis(600);
const TIMEOUT: Duration = Duration::from_secs(2);
/// For what is neither of them.
const REST: Duration = Duration::from_secs(1);

/// Where spans go and what becomes of them.
const RECEIVERS: [&str; 4] = ["present", "absent", "silent", "slow"];

/// The endpoint of a receiver of this kind.
fn receiver(kind: &str) -> String {
    match kind {
        "present" => Receiver::start().endpoint,
        "absent" => format!("http://127.0.0.1:{}", free_port()),
        "silent" => server(None),
        _ => server(Some(Duration::from_secs(3))),
    }
}

/// A server that answers each request after `pause`, or takes connections and says nothing.
fn server(pause: Option<Duration>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut room = [0; 64 * 1024];
                while stream.read(&mut room).is_ok_and(|read| read > 0) {
                    let Some(pause) = pause else { continue };
                    thread::sleep(pause);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                }
            });
        }
    });
    format!("http://{address}")
}

/// What the variables of a program begin with.
fn prefix_of(program: &str) -> &'static str {
    match program {
        "api-service" => "API",
        "auth-service" => "AUTH",
        _ => "GATEWAY",
    }
}

/// A service that exports to `endpoint`, with the drain of this test.
fn service(program: &str, endpoint: &str, more: &[(&str, &str)]) -> Service {
    let prefix = prefix_of(program);
    let mut command: Command = command(program);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env(
            format!("{prefix}_DRAIN_GRACE"),
            format!("{}ms", GRACE.as_millis()),
        )
        .env(
            format!("{prefix}_DRAIN_TIMEOUT"),
            format!("{}s", TIMEOUT.as_secs()),
        )
        .envs(more.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Service::start(command, &format!("{prefix}_LISTEN"))
}

/// Makes more spans than one export takes.
fn make_spans(service: &Service, path: &str) {
    let client = Client::builder().no_proxy().build().unwrap();
    for _ in 0..600 {
        client.get(format!("{}{path}", service.url)).send().unwrap();
    }
}

/// An auth-service that has spans for a receiver of this kind, and the folder of its data.
fn auth_service_with_spans(kind: &str) -> (TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let auth = service("auth-service", &receiver(kind), &[("AUTH_DATA_DIR", data)]);
    auth.wait("it is ready", true);
    make_spans(&auth, "/.well-known/jwks.json");
    (folder, auth)
}

/// Stops an idle service: nothing but the grace and the flush is left.
fn stops_at_once(service: Service, what: &str) {
    let limit = GRACE + REST;
    let (status, took) = service.terminate(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{what}");
    println_of(what, took);
    assert!(took < limit + slack(), "{what}: {took:?}");
}

/// A machine that is busy with other tests starts and ends threads late.
fn slack() -> Duration {
    Duration::from_millis(500)
}

#[expect(
    clippy::print_stdout,
    reason = "the figure is what somebody who runs this wants to see"
)]
fn println_of(what: &str, took: Duration) {
    println!("{what}: {took:.1?}");
}

#[test]
fn an_api_service_ends_soon_whatever_becomes_of_its_spans() {
    for kind in RECEIVERS {
        let api = service("api-service", &receiver(kind), &[("API_STRATEGY", "jwt")]);
        api.wait("it answers", false);
        make_spans(&api, "/public");
        stops_at_once(api, &format!("api-service, {kind}"));
    }
}

#[test]
fn an_auth_service_ends_soon_whatever_becomes_of_its_spans() {
    for kind in RECEIVERS {
        let (_folder, auth) = auth_service_with_spans(kind);
        stops_at_once(auth, &format!("auth-service, {kind}"));
    }
}

#[test]
fn an_auth_service_ends_when_its_drain_is_over_with_half_a_request() {
    for kind in RECEIVERS {
        let (_folder, auth) = auth_service_with_spans(kind);
        let address = auth.url.trim_start_matches("http://");
        let mut client = TcpStream::connect(address).unwrap();
        let half = b"POST /login HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
            expect: 100-continue\r\ncontent-length: 100\r\n\r\n{";
        client.write_all(half).unwrap();
        // It says that it goes on, so the request is under way.
        let mut begin = [0; 12];
        client.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 100");

        let (status, took) = auth.terminate(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "{kind}");
        println_of(&format!("auth-service with half a request, {kind}"), took);
        assert!(took < GRACE + TIMEOUT + REST + slack(), "{kind}: {took:?}");
    }
}

#[test]
fn a_gateway_ends_when_its_drain_is_over_with_a_request_under_way_and_an_operator_who_is_silent() {
    for kind in RECEIVERS {
        let quick = TcpListener::bind("127.0.0.1:0").unwrap();
        let hung = TcpListener::bind("127.0.0.1:0").unwrap();
        let pools = format!(
            "quick={};hung={}",
            quick.local_addr().unwrap(),
            hung.local_addr().unwrap()
        );
        thread::spawn(move || {
            for mut stream in quick.incoming().flatten() {
                thread::spawn(move || {
                    let mut room = [0; 4096];
                    while stream.read(&mut room).is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        let _ = stream.write_all(answer);
                    }
                });
            }
        });
        let (sender, under_way) = mpsc::channel();
        thread::spawn(move || {
            // Health checks come there too.
            let mut others = Vec::new();
            for mut stream in hung.incoming().flatten() {
                let mut begin = [0; 9];
                if stream.read_exact(&mut begin).is_ok() && &begin == b"GET /path" {
                    let _ = sender.send(stream);
                } else {
                    others.push(stream);
                }
            }
        });
        let admin = format!("127.0.0.1:{}", free_port());
        let gateway = service(
            "gateway",
            &receiver(kind),
            &[
                ("GATEWAY_ROUTES", "/quick=quick,/hung=hung"),
                ("GATEWAY_POOLS", &pools),
                ("GATEWAY_ADMIN_LISTEN", &admin),
                ("GATEWAY_THREADS", "1"),
            ],
        );
        gateway.wait("it is ready", true);
        make_spans(&gateway, "/quick/path");
        let operator = TcpStream::connect(&admin).unwrap();
        let address = gateway.url.trim_start_matches("http://");
        let mut client = TcpStream::connect(address).unwrap();
        let request = b"GET /hung/path HTTP/1.1\r\nhost: h\r\n\r\n";
        client.write_all(request).unwrap();
        let arrived = under_way.recv_timeout(Duration::from_secs(20)).unwrap();

        let (status, took) = gateway.terminate(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "{kind}");
        println_of(&format!("gateway, {kind}"), took);
        assert!(took < GRACE + TIMEOUT + REST + slack(), "{kind}: {took:?}");
        drop((operator, arrived));
    }
}

/// All three, of which the first two are there for the gateway; with a grace that nobody waits for.
fn all_three(folder: &TempDir) -> [(Service, &'static str); 3] {
    let start = |program: &str, more: &[(&str, &str)]| {
        let prefix = prefix_of(program);
        let mut command = command(program);
        command
            .env(format!("{prefix}_DRAIN_GRACE"), "10m")
            .envs(more.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let service = Service::start(command, &format!("{prefix}_LISTEN"));
        service.wait("it is ready", true);
        service
    };
    let auth = start(
        "auth-service",
        &[("AUTH_DATA_DIR", folder.path().to_str().unwrap())],
    );
    let keys = format!("{}/.well-known/jwks.json", auth.url);
    let api = start(
        "api-service",
        &[("API_STRATEGY", "jwt"), ("API_JWKS_URL", &keys)],
    );
    let member = format!("api={}", api.url.trim_start_matches("http://"));
    let gateway = start(
        "gateway",
        &[("GATEWAY_ROUTES", "/api=api"), ("GATEWAY_POOLS", &member)],
    );
    [
        (gateway, "/api/public"),
        (api, "/public"),
        (auth, "/.well-known/jwks.json"),
    ]
}

#[test]
fn during_its_grace_each_service_serves_whoever_comes_and_another_signal_cuts_it_short() {
    let folder = tempfile::tempdir().unwrap();
    for (service, path) in all_three(&folder) {
        let url = service.url.clone();
        assert_eq!(service.status(path), Some(200), "{url}");
        service.tell_to_end();
        eventually("it says that it ends", || {
            let text = service.text("/readyz")?;
            let both = text.contains(":ending") && text.contains("server: draining");
            both.then_some(())
        });
        assert_eq!(service.status("/readyz"), Some(503), "{url}");
        for _ in 0..5 {
            // A connection of its own each: the one before was closed.
            assert_eq!(service.status(path), Some(200), "{url}");
        }
        let (status, took) = service.terminate(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "{url}");
        assert!(took < TIMEOUT + REST + slack(), "{url}: {took:?}");
    }
}

//! A process with a memory limit lives, whatever its clients send.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::*;

const LIMIT_MIB: u64 = 48;

/// A gateway in a process of its own, whose memory is no other test's.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    async fn start(upstream: SocketAddr, options: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            // All its load comes from one address.
            .args([
                "--threads=2",
                "--routes=/p=p",
                "--max-connections-per-address=8192",
            ])
            .arg(format!("--listen={address}"))
            .arg(format!("--pools=p={upstream}"))
            .arg(format!("--memory-limit-mib={LIMIT_MIB}"))
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self { child, address };
        eventually("it listens", || async {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        process
    }

    /// The status of an answer within a second; `None` when the connection ended instead.
    async fn answers(&self, path: &str) -> Option<u16> {
        let asked = async { Wire::open(self.address).await.get(path).await };
        let reply = tokio::time::timeout(Duration::from_secs(1), asked).await;
        Some(reply.ok()??.status)
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = get(self.address, "/metrics").await.text();
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Its anonymous memory in MiB.
    fn used_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it lives");
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() / 1024
    }
}

/// Answers `/ok`, and reads no body of anything else.
async fn deaf_upstream() -> Upstream {
    Upstream::with(|request| async move {
        if request.uri().path() != "/ok" {
            let _unread = request;
            std::future::pending::<()>().await;
        }
        Response::new(full("ok"))
    })
    .await
}

/// Sends `request` over a connection of its own, as far as it is taken, and returns what came back
/// by the time the others have begun.
async fn push(address: SocketAddr, request: Vec<u8>) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reads, mut writes) = stream.split();
    let mut answer = vec![0; 512];
    let exchange = async {
        // The write stands still when nobody reads, and fails when the gateway has closed.
        let write = async {
            drop(writes.write_all(&request).await);
            std::future::pending::<usize>().await
        };
        tokio::select! {
            read = reads.read(&mut answer) => read.unwrap_or_default(),
            never = write => never,
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(3), exchange).await;
    answer.truncate(read.unwrap_or_default());
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (stream, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_more_than_the_limit_is_refused_and_the_process_lives() {
    let large = 1_000_000;
    let upload = format!("POST /p/x HTTP/1.1\r\nhost: t\r\ncontent-length: {large}\r\n\r\n");
    let upload = [upload.into_bytes(), vec![b'a'; large]].concat();
    let kept = b"PUT /p/x HTTP/1.1\r\nhost: t\r\ncontent-length: 65536\r\n\r\n";
    let kept = [kept.as_slice(), &[b'a'; 65536]].concat();
    let head = b"GET /p/x HTTP/1.1\r\nhost: t\r\nx: ";
    let head = [head.as_slice(), &[b'a'; 30_000]].concat();
    let upstream = deaf_upstream().await;
    let gateway = Process::start(upstream.address, &[]).await;
    for (what, request) in [("upload", upload), ("kept", kept), ("head", head)] {
        let mut clients = JoinSet::new();
        for _ in 0..500 {
            clients.spawn(push(gateway.address, request.clone()));
        }
        let (mut held, mut most) = (Vec::new(), 0);
        while let Some(client) = clients.join_next().await {
            most = most.max(gateway.used_mib());
            held.push(client.unwrap());
        }
        assert!(most < LIMIT_MIB, "{what}: {most} MiB");
        for (_, answer) in held.iter().filter(|(_, answer)| !answer.is_empty()) {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{what}: {answer}");
            assert!(answer.contains("retry-after: 1\r\n"), "{what}: {answer}");
            assert!(answer.contains("connection: close\r\n"), "{what}: {answer}");
        }
        drop(held);
        eventually("others are served again", || async {
            gateway.answers("/p/ok").await == Some(200)
        })
        .await;
    }
    eventually("it is ready again", || async {
        gateway.answers("/readyz").await == Some(200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_connections_is_lowered_to_what_fits() {
    let upstream = deaf_upstream().await;
    let limit = "gateway_client_connections_limit ";
    let gateway = Process::start(upstream.address, &["--max-connections=8192"]).await;
    let lowered = gateway.metric(limit).await;
    assert!((300.0..700.0).contains(&lowered), "{lowered}");
    let gateway = Process::start(upstream.address, &["--max-connections=100"]).await;
    assert_eq!(gateway.metric(limit).await, 100.0);
}

#[tokio::test]
async fn what_cannot_fit_ends_the_start_with_a_reason() {
    let secret = "0123456789abcdef0123456789abcdef";
    let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--listen=127.0.0.1:0", "--memory-limit-mib=48"])
        .args(["--exchange-routes=/jwt", "--exchange-cache=1000000"])
        .args(["--client-id=g", "--client-secret", secret])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("GATEWAY_EXCHANGE_CACHE"), "{text}");
    assert!(text.contains("the memory limit is 48 MiB"), "{text}");
}

//! What the sockets between real processes are set to, as the kernel has it.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{collections::BTreeMap, fs, net::SocketAddr, os::fd::OwnedFd};

use loadtest::subject::stack::StackOptions;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, getpeername, getsockname, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use system_tests::{Cluster, eventually, spans::Receiver};

/// One end of a TCP connection.
#[derive(Debug)]
struct End {
    process: String,
    local: SocketAddr,
    peer: SocketAddr,
    without_nagle: bool,
}

/// Every TCP connection of a process.
fn connections(process: &str, pid: u32) -> Vec<End> {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|entry| {
            fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        })
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            match pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()) {
                Ok(socket) => end(process, &socket),
                // Closed since the folder was read.
                Err(Errno::BADF) => None,
                Err(error) => panic!("a descriptor of {process} cannot be looked at: {error}"),
            }
        })
        .collect()
}

/// `None` for what is no connection over TCP.
fn end(process: &str, socket: &OwnedFd) -> Option<End> {
    let domain = sockopt::socket_domain(socket).unwrap();
    let over_ip = domain == AddressFamily::INET || domain == AddressFamily::INET6;
    if !over_ip || sockopt::socket_type(socket).unwrap() != SocketType::STREAM {
        return None;
    }
    Some(End {
        process: process.to_owned(),
        // Of a listener there is no peer.
        peer: getpeername(socket).ok()??.try_into().ok()?,
        local: getsockname(socket).ok()?.try_into().ok()?,
        without_nagle: sockopt::tcp_nodelay(socket).unwrap(),
    })
}

#[test]
fn no_connection_of_any_process_waits_to_fill_a_packet() {
    let receiver = Receiver::start();
    let strategies = [
        "jwt",
        "jwt-revocable",
        "session",
        "session-cached",
        "introspection",
        "phantom",
    ];
    let cluster = Cluster::with(
        StackOptions {
            strategies: strategies.map(str::to_owned).to_vec(),
            ..StackOptions::default()
        }
        .variable_everywhere("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
        .variable_everywhere("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        .variable_everywhere("OTEL_BSP_SCHEDULE_DELAY", "50"),
    );
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    for strategy in strategies {
        let credential = if strategy.starts_with("jwt") {
            &token
        } else {
            &session
        };
        let found = cluster.get_as(&format!("/{strategy}/me"), credential);
        assert_eq!(found.status, 200, "{strategy}: {found:?}");
    }
    let port = |url: &str| -> u16 { url.rsplit_once(':').unwrap().1.parse().unwrap() };
    let redis = port(&cluster.stack.redis_url);
    let auth = port(&cluster.stack.auth_url);
    let gateway = port(&cluster.stack.gateway_url);
    let exporter = port(&receiver.endpoint);
    let to = |ends: &[End], process: &str, port: u16| {
        let of = ends.iter().filter(|end| end.process == process);
        of.filter(|end| end.peer.port() == port).count()
    };
    // Who connects to whom, at least: a connection that is not there is not looked at.
    let expected = [
        ("auth-service", redis),
        ("api-jwt-revocable-1", redis),
        ("api-session-1", redis),
        ("api-session-cached-1", redis),
        ("api-introspection-1", auth),
        ("gateway", auth),
        ("gateway", exporter),
        ("api-session-1", exporter),
        ("auth-service", exporter),
    ];
    let ends = eventually("every part has its connections", || {
        // Some of them are closed when they are not used.
        for path in ["/session/me", "/introspection/me"] {
            assert_eq!(cluster.get_as(path, &session).status, 200);
        }
        let processes = cluster.stack.processes_info();
        let ends: Vec<End> = processes
            .iter()
            .flat_map(|process| connections(&process.name, process.pid))
            .collect();
        let complete = expected
            .iter()
            .all(|(process, port)| to(&ends, process, *port) > 0);
        let served = ends.iter().any(|end| end.local.port() == gateway);
        (complete && served).then_some(ends)
    });
    let mut waiting: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for end in ends.iter().filter(|end| !end.without_nagle) {
        let both = format!("{} to {}", end.local, end.peer);
        waiting.entry(&end.process).or_default().push(both);
    }
    assert!(waiting.is_empty(), "with Nagle's algorithm: {waiting:#?}");
}

//! A Redis cluster of one test, on ports of this machine. It persists nothing but who is in charge of
//! what.

mod reply;
mod slots;

use std::{
    ffi::OsString,
    io::{self, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use self::reply::Reply;

use crate::{PATIENCE, certificates::Certificates};

/// How many slots there are.
const SLOTS: u16 = 16_384;
/// After so long without a word from a node the others take it for lost, where there is a replica to
/// replace it.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// The same where there is none: on a busy machine a node is silent for a while.
const LONG_NODE_TIMEOUT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);

/// The nodes: first those that were begun as primaries, each in charge of an equal part of the slots,
/// then a replica of each if there are any. They end with this value.
pub struct RedisCluster {
    nodes: Vec<Node>,
    primaries: usize,
    folder: TempDir,
    /// Of the program.
    arguments: Vec<OsString>,
}

struct Node {
    ports: Ports,
    id: String,
    process: Child,
}

#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    /// Of other nodes.
    bus: u16,
    /// Where it speaks TLS, if it does.
    tls: Option<u16>,
}

#[expect(
    clippy::expect_used,
    reason = "without the cluster that a test asked for it has failed"
)]
impl RedisCluster {
    /// Starts so many primaries, with a replica each or without, and waits until they know each other.
    ///
    /// # Panics
    ///
    /// There is no `redis-server` on `PATH`, no free port, or no cluster after some time.
    #[must_use]
    pub fn start(primaries: usize, with_replicas: bool) -> Self {
        Self::start_with(primaries, with_replicas, Vec::new())
    }

    /// Starts so many primaries with these certificates, which ask their clients for none.
    ///
    /// # Panics
    ///
    /// As [`RedisCluster::start`].
    #[must_use]
    pub fn start_over_tls(primaries: usize, certificates: &Certificates) -> Self {
        let file = |path: PathBuf| path.into_os_string();
        let arguments = vec![
            "--tls-cert-file".into(),
            file(certificates.certificate()),
            "--tls-key-file".into(),
            file(certificates.key()),
            "--tls-ca-cert-file".into(),
            file(certificates.authority()),
            "--tls-auth-clients".into(),
            "no".into(),
        ];
        Self::start_with(primaries, false, arguments)
    }

    fn start_with(primaries: usize, with_replicas: bool, mut arguments: Vec<OsString>) -> Self {
        let speaks_tls = !arguments.is_empty();
        let timeout = if with_replicas {
            NODE_TIMEOUT
        } else {
            LONG_NODE_TIMEOUT
        };
        arguments.push("--cluster-node-timeout".into());
        arguments.push(timeout.as_millis().to_string().into());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let count = if with_replicas { 2 } else { 1 } * primaries;
        let nodes = (0..count).map(|_| {
            let ports = Ports {
                plain: free_port(),
                bus: free_port(),
                tls: speaks_tls.then(free_port),
            };
            Node {
                ports,
                id: String::new(),
                process: spawn(folder.path(), ports, &arguments),
            }
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            primaries,
            folder,
            arguments,
        };
        for node in 0..count {
            cluster.until("it answers", |cluster| {
                cluster.try_ask(node, &["PING"]).is_ok()
            });
            let id = cluster.ask(node, &["CLUSTER", "MYID"]);
            id.text().clone_into(&mut cluster.nodes[node].id);
            let epoch = (node + 1).to_string();
            cluster.ask(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        cluster.join();
        cluster
    }

    fn join(&self) {
        let count = self.nodes.len();
        for node in 1..count {
            let Ports { plain, bus, .. } = self.nodes[0].ports;
            let (port, bus) = (plain.to_string(), bus.to_string());
            self.ask(node, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for node in 0..self.primaries {
            let part = |node: usize| node * usize::from(SLOTS) / self.primaries;
            let (first, last) = (part(node).to_string(), (part(node + 1) - 1).to_string());
            self.ask(node, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        for node in self.primaries..count {
            let primary = &self.nodes[node - self.primaries].id;
            self.until("they have met", |cluster| {
                cluster
                    .try_ask(node, &["CLUSTER", "REPLICATE", primary])
                    .is_ok()
            });
        }
        for node in 0..count {
            self.until("all slots are served", |cluster| {
                let info = cluster.ask(node, &["CLUSTER", "INFO"]);
                let whole = ["cluster_state:ok", "cluster_slots_ok:16384"];
                let known = format!("cluster_known_nodes:{count}");
                let mut wanted = whole.into_iter().chain([known.as_str()]);
                wanted.all(|line| info.text().contains(line))
            });
        }
        for node in self.primaries..count {
            self.until("replicas are in step", |cluster| {
                let info = cluster.ask(node, &["INFO", "replication"]);
                info.text().contains("master_link_status:up")
            });
        }
    }

    /// `redis+cluster://`, or `rediss+cluster://`, and all nodes that were begun as primaries.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes = self.nodes[..self.primaries].iter();
        let nodes: Vec<_> = nodes
            .map(|node| format!("127.0.0.1:{}", node.ports.tls.unwrap_or(node.ports.plain)))
            .collect();
        let scheme = match self.nodes[0].ports.tls {
            None => "redis+cluster",
            Some(_) => "rediss+cluster",
        };
        format!("{scheme}://{}", nodes.join(","))
    }

    /// The port of a node.
    #[must_use]
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].ports.plain
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Asks a node something.
    ///
    /// # Panics
    ///
    /// It does not answer, or refuses.
    pub fn ask(&self, node: usize, command: &[&str]) -> Reply {
        let answer = self.try_ask(node, command);
        answer.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// The same; what went wrong if it did.
    ///
    /// # Errors
    ///
    /// It does not answer, or refuses.
    pub fn try_ask(&self, node: usize, command: &[&str]) -> io::Result<Reply> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.nodes[node].ports.plain))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = format!("*{}\r\n", command.len());
        for word in command {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        (&stream).write_all(text.as_bytes())?;
        Reply::read(&mut BufReader::new(stream))
    }

    /// Has a replica take the place of its primary, which goes on as its replica. Returns when the
    /// replica has begun to.
    ///
    /// # Panics
    ///
    /// It does not begin.
    pub fn fail_over_to(&self, replica: usize) {
        self.until("a failover begins", |cluster| {
            let asked = cluster.try_ask(replica, &["CLUSTER", "FAILOVER"]);
            asked.is_ok()
        });
    }

    /// Waits until the replica of a node has all that was written to the node.
    ///
    /// # Panics
    ///
    /// It does not get that far.
    pub fn wait_until_replicated(&self, node: usize) {
        self.until("the replica is in step", |cluster| {
            let info = cluster.ask(node, &["INFO", "replication"]);
            let of = |name: &str, end: char| {
                let (_, rest) = info.text().split_once(name)?;
                rest.split(end).next()
            };
            let acknowledged = of("offset=", ',');
            acknowledged.is_some() && acknowledged == of("master_repl_offset:", '\r')
        });
    }

    /// Ends a node at once, as `kill -9` does.
    ///
    /// # Panics
    ///
    /// It cannot be ended.
    pub fn kill(&mut self, node: usize) {
        let process = &mut self.nodes[node].process;
        process.kill().expect("redis-server can be killed");
        process.wait().expect("redis-server can be reaped");
    }

    /// Starts a node in the place of one that was killed: empty, and the same to the others.
    ///
    /// # Panics
    ///
    /// There is no `redis-server` on `PATH` any more.
    pub fn restart(&mut self, node: usize) {
        let ports = self.nodes[node].ports;
        self.nodes[node].process = spawn(self.folder.path(), ports, &self.arguments);
    }

    /// Stops a node: it lives, its sockets are open, and it answers nothing.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn hang(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Lets a node that hangs go on.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn resume(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let process = Pid::from_child(&self.nodes[node].process);
        kill_process(process, signal).expect("redis-server can be signalled");
    }

    fn a_living(&self) -> usize {
        let mut nodes = 0..self.nodes.len();
        nodes
            .find(|node| self.try_ask(*node, &["PING"]).is_ok())
            .expect("a node lives")
    }

    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}"
            );
            sleep(PAUSE);
        }
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // The test may have killed it already.
            let _ = node.process.kill();
            let _ = node.process.wait();
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "without the cluster that a test asked for it has failed"
)]
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
        .port()
}

#[expect(
    clippy::expect_used,
    reason = "without the cluster that a test asked for it has failed"
)]
fn spawn(folder: &Path, ports: Ports, arguments: &[OsString]) -> Child {
    let Ports { plain, bus, tls } = ports;
    let file = format!("nodes-{plain}.conf");
    // The nodes name this port to clients; among each other they speak no TLS.
    let names = ["--tls-port", "--cluster-announce-port"];
    let tls = tls.map(|port| names.map(|name| [name.to_owned(), port.to_string()]));
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &plain.to_string()])
        .args(tls.into_iter().flatten().flatten())
        .args(arguments)
        .args(["--cluster-port", &bus.to_string()])
        .args(["--cluster-enabled", "yes", "--cluster-config-file", &file])
        // Slots without a node keep no others from being served.
        .args(["--cluster-require-full-coverage", "no"])
        .args(["--repl-diskless-sync-delay", "0"])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect(
            "redis-server is on PATH: install it, for instance with `apt-get install redis-server`",
        )
}

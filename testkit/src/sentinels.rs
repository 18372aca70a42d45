//! A primary, its replicas and the sentinels that watch them: processes of one test on ports of this
//! machine, which persist nothing.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Value};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{PATIENCE, certificates::Certificates};

/// What the sentinels know the primary by.
pub const NAME: &str = "main";
/// How long a server must be silent before a sentinel calls it down.
pub const DOWN_AFTER: Duration = Duration::from_secs(1);

/// A user of all servers and one of all sentinels, each with its password.
#[derive(Clone, Copy, Debug)]
pub struct Logins {
    /// Of the servers.
    pub server: (&'static str, &'static str),
    /// Of the sentinels.
    pub sentinel: (&'static str, &'static str),
}

/// The processes; they end with this value.
pub struct Sentinels {
    /// The first is the primary at first.
    servers: Vec<Process>,
    sentinels: Vec<Process>,
    logins: Option<Logins>,
    folder: TempDir,
}

struct Process {
    child: Child,
    port: u16,
}

#[expect(
    clippy::expect_used,
    reason = "without the servers that a test asked for it has failed"
)]
impl Sentinels {
    /// Starts a primary, two replicas and three sentinels, and waits until a failover would succeed.
    ///
    /// # Panics
    ///
    /// There is no `redis-server` on `PATH`, or they do not find each other.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, with users who must log in.
    ///
    /// # Panics
    ///
    /// As [`Sentinels::start`].
    #[must_use]
    pub fn start_with(logins: Option<Logins>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut servers = Vec::new();
        for _ in 0..3 {
            let primary = servers.first().map(|first: &Process| first.port);
            servers.push(server(folder.path(), primary, logins));
        }
        let started = Self {
            sentinels: Vec::new(),
            servers,
            logins,
            folder,
        };
        started.wait("the replicas are in sync", || {
            let replicas: Vec<Value> =
                match started.ask_server::<Vec<Value>>(0, &["ROLE"])?.pop()? {
                    Value::Array(replicas) => replicas,
                    _ => return None,
                };
            let up = (1..3).all(|replica| {
                let role = started.ask_server::<Vec<Value>>(replica, &["ROLE"]);
                role.and_then(|role| role.get(3).cloned())
                    .is_some_and(|state| state == Value::BulkString(b"connected".to_vec()))
            });
            (replicas.len() == 2 && up).then_some(())
        });
        started.with_sentinels()
    }

    fn with_sentinels(mut self) -> Self {
        for number in 0..3 {
            let path = self.folder.path().join(format!("sentinel-{number}.conf"));
            let port = free_port();
            fs::write(&path, self.configuration(port)).expect("the folder takes a file");
            let mut command = redis_server(self.folder.path());
            command.arg(&path).arg("--sentinel");
            self.sentinels.push(Process {
                child: run(&mut command),
                port,
            });
        }
        self.wait("the sentinels know each other and the replicas", || {
            (0..3).all(|sentinel| self.is_ready(sentinel)).then_some(())
        });
        self
    }

    fn configuration(&self, port: u16) -> String {
        let primary = self.servers[0].port;
        let down_after = DOWN_AFTER.as_millis();
        let mut text = format!(
            "port {port}\nbind 127.0.0.1\nprotected-mode no\n\
             sentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {NAME} {down_after}\n\
             sentinel failover-timeout {NAME} 10000\n\
             sentinel parallel-syncs {NAME} 2\n"
        );
        if let Some(Logins { server, sentinel }) = self.logins {
            text += &format!(
                "sentinel auth-user {NAME} {}\nsentinel auth-pass {NAME} {}\n\
                 user default off\nuser {} on >{} ~* &* +@all\n\
                 sentinel sentinel-user {}\nsentinel sentinel-pass {}\n",
                server.0, server.1, sentinel.0, sentinel.1, sentinel.0, sentinel.1
            );
        }
        text
    }

    /// Whether this sentinel would begin a failover and could finish it.
    fn is_ready(&self, sentinel: usize) -> bool {
        let about = |what: &str| {
            let asked = self.ask_sentinel::<Vec<Value>>(sentinel, &["SENTINEL", what, NAME]);
            asked.map_or(0, |found| found.len())
        };
        // One that was just met has not been heard of in full.
        let complete = self.ask_sentinel::<String>(sentinel, &["SENTINEL", "CKQUORUM", NAME]);
        about("REPLICAS") == 2 && about("SENTINELS") == 2 && complete.is_some()
    }

    /// `redis+sentinel://…/main`, with the logins that are needed.
    #[must_use]
    pub fn url(&self) -> String {
        let ports: Vec<_> = self.sentinels.iter().map(|one| one.port).collect();
        self.url_by(&ports)
    }

    /// The same with the sentinels reached at other ports of this machine.
    #[must_use]
    pub fn url_by(&self, ports: &[u16]) -> String {
        let ports: Vec<_> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let (mut login, mut parameters) = (String::new(), String::new());
        if let Some(Logins { server, sentinel }) = self.logins {
            login = format!("{}:{}@", server.0, server.1);
            parameters = format!(
                "?sentinel_user={}&sentinel_password={}",
                sentinel.0, sentinel.1
            );
        }
        format!(
            "redis+sentinel://{login}{}/{NAME}{parameters}",
            ports.join(",")
        )
    }

    /// The URL of one server, whatever it is at the moment.
    #[must_use]
    pub fn server_url(&self, server: usize) -> String {
        let login = self.logins.map(|logins| logins.server);
        let login = login.map(|(user, password)| format!("{user}:{password}@"));
        let port = self.servers[server].port;
        format!("redis://{}127.0.0.1:{port}", login.unwrap_or_default())
    }

    /// The ports of the sentinels.
    #[must_use]
    pub fn sentinel_ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|one| one.port).collect()
    }

    /// Which server is the primary, as the first of the sentinels that answers says.
    ///
    /// # Panics
    ///
    /// None answers.
    #[must_use]
    pub fn primary(&self) -> usize {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        let mut said = (0..3).filter_map(|one| self.ask_sentinel::<(String, u16)>(one, &question));
        let (_, port) = said.next().expect("a sentinel answers");
        let found = self.servers.iter().position(|one| one.port == port);
        found.expect("the primary is one of the servers")
    }

    /// Begins a failover by hand.
    ///
    /// # Panics
    ///
    /// No sentinel begins one in time.
    pub fn fail_over(&self) {
        self.wait("a sentinel begins a failover", || {
            self.ask_sentinel::<()>(0, &["SENTINEL", "FAILOVER", NAME])
        });
    }

    /// Waits until the sentinels say that another server is the primary.
    ///
    /// # Panics
    ///
    /// They do not.
    pub fn wait_for_another(&self, before: usize) {
        self.wait("another server is the primary", || {
            (self.primary() != before).then_some(())
        });
    }

    /// Ends a server at once, as `kill -9` does.
    ///
    /// # Panics
    ///
    /// It cannot be ended.
    pub fn kill(&mut self, server: usize) {
        let child = &mut self.servers[server].child;
        child.kill().expect("redis-server can be killed");
        child.wait().expect("redis-server can be reaped");
    }

    /// Stops a server: it lives, its port is open, and it answers nothing.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn hang(&self, server: usize) {
        signal(&self.servers[server], Signal::STOP);
    }

    /// Lets a server that hangs go on.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn resume(&self, server: usize) {
        signal(&self.servers[server], Signal::CONT);
    }

    /// Stops a sentinel.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn hang_sentinel(&self, sentinel: usize) {
        signal(&self.sentinels[sentinel], Signal::STOP);
    }

    /// Lets a sentinel that hangs go on.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn resume_sentinel(&self, sentinel: usize) {
        signal(&self.sentinels[sentinel], Signal::CONT);
    }

    /// Gives a server a command; `None` when it does not answer so in a second.
    #[must_use]
    pub fn ask_server<T: FromRedisValue>(&self, server: usize, command: &[&str]) -> Option<T> {
        let login = self.logins.map(|logins| logins.server);
        ask(self.servers[server].port, login, command)
    }

    /// Gives a sentinel a command; `None` when it does not answer so in a second.
    #[must_use]
    pub fn ask_sentinel<T: FromRedisValue>(&self, sentinel: usize, command: &[&str]) -> Option<T> {
        let login = self.logins.map(|logins| logins.sentinel);
        ask(self.sentinels[sentinel].port, login, command)
    }

    fn wait<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A sentinel by itself that speaks TLS only, with its clients and with the server that it watches.
pub struct TlsSentinel {
    process: Process,
    _folder: TempDir,
}

#[expect(
    clippy::expect_used,
    reason = "without the server that a test asked for it has failed"
)]
impl TlsSentinel {
    /// Starts one that watches the server at this port. It answers some milliseconds later.
    ///
    /// # Panics
    ///
    /// There is no `redis-server` on `PATH`.
    #[must_use]
    pub fn start(certificates: &Certificates, server: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, port) = (folder.path().join("sentinel.conf"), free_port());
        let configuration = format!(
            "port 0\ntls-port {port}\nbind 127.0.0.1\nprotected-mode no\n\
             tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients no\ntls-replication yes\n\
             sentinel monitor {NAME} 127.0.0.1 {server} 1\n",
            certificates.certificate().display(),
            certificates.key().display(),
            certificates.authority().display(),
        );
        fs::write(&path, configuration).expect("the folder takes a file");
        let mut command = redis_server(folder.path());
        let child = run(command.arg(&path).arg("--sentinel"));
        Self {
            process: Process { child, port },
            _folder: folder,
        }
    }

    /// `rediss+sentinel://localhost:PORT/main`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rediss+sentinel://localhost:{}/{NAME}", self.process.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The test may have killed it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::expect_used, reason = "a test that cannot signal has failed")]
fn signal(process: &Process, signal: Signal) {
    kill_process(Pid::from_child(&process.child), signal).expect("redis-server can be signalled");
}

#[expect(clippy::expect_used, reason = "without a port a test has failed")]
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
        .port()
}

fn server(folder: &Path, primary: Option<u16>, logins: Option<Logins>) -> Process {
    let port = free_port();
    let mut command = redis_server(folder);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(["--repl-diskless-sync-delay", "0"]);
    if let Some(Logins {
        server: (user, password),
        ..
    }) = logins
    {
        let all = [">", password].concat();
        command
            .args(["--user", user, "on", &all, "~*", "&*", "+@all"])
            .args(["--user", "default", "off"])
            .args(["--masteruser", user, "--masterauth", password]);
    }
    if let Some(primary) = primary {
        command.args(["--replicaof", "127.0.0.1", &primary.to_string()]);
    }
    Process {
        child: run(&mut command),
        port,
    }
}

fn redis_server(folder: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command.current_dir(folder).stdout(Stdio::null());
    command
}

#[expect(clippy::expect_used, reason = "without the server a test has failed")]
fn run(command: &mut Command) -> Child {
    command.spawn().expect(
        "redis-server is on PATH: install it, for instance with `apt-get install redis-server`",
    )
}

fn ask<T: FromRedisValue>(port: u16, login: Option<(&str, &str)>, command: &[&str]) -> Option<T> {
    let address = ConnectionAddr::Tcp("127.0.0.1".to_owned(), port);
    let mut info: ConnectionInfo = address.into_connection_info().ok()?;
    if let Some((user, password)) = login {
        let settings = info.redis_settings().clone();
        info = info.set_redis_settings(settings.set_username(user).set_password(password));
    }
    let patience = Duration::from_secs(1);
    let mut connection = Client::open(info)
        .ok()?
        .get_connection_with_timeout(patience)
        .ok()?;
    connection.set_read_timeout(Some(patience)).ok()?;
    redis::cmd(command[0])
        .arg(&command[1..])
        .query(&mut connection)
        .ok()
}

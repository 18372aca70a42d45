//! A redis-server of one test, on a Unix socket in a temporary folder, and if asked for over TLS on a
//! port of this machine. It persists nothing.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certificates::Certificates;

/// The server; it ends with this value.
pub struct Redis {
    process: Child,
    folder: TempDir,
    /// Of the program, for TLS.
    arguments: Vec<OsString>,
}

#[expect(
    clippy::expect_used,
    reason = "without the server that a test asked for it has failed"
)]
impl Redis {
    /// Starts a server. It answers some milliseconds later, so wait for the first answer.
    ///
    /// # Panics
    ///
    /// There is no `redis-server` on `PATH`, or no temporary folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// Starts a server with these certificates, which asks its clients for none, and gives the port
    /// on which it speaks TLS.
    ///
    /// # Panics
    ///
    /// As [`Redis::start`].
    #[must_use]
    pub fn start_over_tls(certificates: &Certificates) -> (Self, u16) {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a port is free")
            .port();
        let redis = Self::start_with(vec![
            "--tls-port".into(),
            port.to_string().into(),
            "--tls-cert-file".into(),
            certificates.certificate().into(),
            "--tls-key-file".into(),
            certificates.key().into(),
            "--tls-ca-cert-file".into(),
            certificates.authority().into(),
            "--tls-auth-clients".into(),
            "no".into(),
        ]);
        (redis, port)
    }

    fn start_with(arguments: Vec<OsString>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = spawn(folder.path(), &arguments);
        Self {
            process,
            folder,
            arguments,
        }
    }

    /// Where it listens: `redis+unix://PATH`.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self.folder.path().join("redis.sock");
        format!("redis+unix://{}", socket.display())
    }

    /// Ends the server at once, as `kill -9` does.
    ///
    /// # Panics
    ///
    /// It cannot be ended.
    pub fn kill(&mut self) {
        self.process.kill().expect("redis-server can be killed");
        self.process.wait().expect("redis-server can be reaped");
    }

    /// Starts an empty server in the place of one that was killed.
    ///
    /// # Panics
    ///
    /// There is no `redis-server` on `PATH` any more.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), &self.arguments);
    }

    /// Stops the process: it lives, its socket is open, and it answers nothing.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a process that hangs go on.
    ///
    /// # Panics
    ///
    /// It cannot be signalled.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Gives the server commands of an operator, over one connection, such as `CONFIG SET maxmemory 1`.
    /// The answer of each is one line.
    ///
    /// # Panics
    ///
    /// The server is not there or refuses one of them.
    pub fn tell(&self, commands: &[&str]) {
        let stream = UnixStream::connect(self.folder.path().join("redis.sock"));
        let mut stream = stream.expect("redis-server listens");
        let read = stream.try_clone().expect("a socket can be read");
        let mut answers = BufReader::new(read).lines();
        for command in commands {
            write!(stream, "{command}\r\n").expect("redis-server reads");
            let answer = answers.next().expect("redis-server answers");
            let answer = answer.expect("redis-server answers text");
            assert!(!answer.starts_with('-'), "{command}: {answer}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal)
            .expect("redis-server can be signalled");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The test may have killed it already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(
    clippy::expect_used,
    reason = "without the server that a test asked for it has failed"
)]
fn spawn(folder: &Path, arguments: &[OsString]) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(folder.join("redis.sock"))
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect(
            "redis-server is on PATH: install it, for instance with `apt-get install redis-server`",
        )
}

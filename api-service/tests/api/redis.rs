//! A redis-server of the test's own, on a Unix socket in a temporary directory.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use shared::{
    config::Secret,
    session::{SessionStore, StoreSettings},
};

/// Deadline of each call in tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(250);

pub(crate) struct Redis {
    process: Child,
    directory: tempfile::TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = spawn(directory.path());
        Self { process, directory }
    }

    pub(crate) fn settings(&self) -> StoreSettings {
        let socket = self.directory.path().join("redis.sock");
        StoreSettings {
            url: Secret::new(format!("redis+unix://{}", socket.display())),
            timeout: TIMEOUT,
        }
    }

    /// A store of the test's own, connected.
    pub(crate) async fn store(&self) -> SessionStore {
        let store = SessionStore::open(self.settings());
        while store.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        store
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.directory.path());
    }

    /// The process lives and the socket stays open, but nothing is answered.
    pub(crate) fn hang(&self) {
        kill_process(Pid::from_child(&self.process), Signal::STOP).unwrap();
    }

    pub(crate) fn resume(&self) {
        kill_process(Pid::from_child(&self.process), Signal::CONT).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(directory.join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is on PATH: install it, for instance with apt-get")
}

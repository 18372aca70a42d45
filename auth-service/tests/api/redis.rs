//! A redis-server of one test.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub(crate) struct Redis {
    process: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts a server on a socket in a folder of its own; the service connects when it is there.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = spawn(folder.path());
        Self { process, folder }
    }

    /// Starts an empty server in the place of a killed one.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.folder.path());
    }

    pub(crate) fn url(&self) -> String {
        let socket = self.folder.path().join("redis.sock");
        format!("redis+unix://{}", socket.display())
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("redis-server can be killed");
        self.process.wait().expect("redis-server can be reaped");
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(folder.join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect(
            "redis-server is on PATH: install it, for instance with \
             `apt-get install redis-server`",
        )
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The test may have killed it already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

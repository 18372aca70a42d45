//! One service of ours as a process of its own, for what a whole system has no place for.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use reqwest::blocking::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::{eventually, within};

/// A running service. Dropped, it is killed.
pub struct Service {
    /// `None`: only another port of a process that somebody else has.
    child: Option<Child>,
    /// Where it listens.
    pub url: String,
    client: Client,
}

impl Service {
    /// Starts a program on a free port, which it learns by the variable `listen`.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    #[must_use]
    pub fn start(mut command: Command, listen: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let child = command.env(listen, &address).spawn();
        Self {
            child: Some(child.expect("the program can be started")),
            url: format!("http://{address}"),
            client: Client::builder()
                .timeout(Duration::from_secs(30))
                .no_proxy()
                .build()
                .expect("a client without special wishes can be built"),
        }
    }

    /// The same process as it answers on another of its ports.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        Self {
            child: None,
            url: format!("http://127.0.0.1:{port}"),
            client: self.client.clone(),
        }
    }

    /// The status that a path answers now; `None` when nobody answers.
    #[must_use]
    pub fn status(&self, path: &str) -> Option<u16> {
        let answer = self.client.get(format!("{}{path}", self.url)).send();
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// What a path answers now; `None` when nobody answers.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let answer = self.client.get(format!("{}{path}", self.url)).send();
        answer.ok()?.text().ok()
    }

    /// Waits until it is ready, or says that it is not.
    ///
    /// # Panics
    ///
    /// It does not become so.
    #[track_caller]
    pub fn wait(&self, what: &str, ready: bool) {
        let status = if ready { 200 } else { 503 };
        eventually(what, || {
            (self.status("/readyz") == Some(status)).then_some(())
        });
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    ///
    /// It has ended.
    #[track_caller]
    pub fn tell_to_end(&self) {
        let child = self.child.as_ref().expect("it is a process of this test");
        kill_process(Pid::from_child(child), Signal::TERM).expect("it runs");
    }

    /// Sends SIGTERM and waits for the end, which must come within `patience`; how it ended, and
    /// how long that took.
    ///
    /// # Panics
    ///
    /// It goes on.
    #[track_caller]
    pub fn terminate(mut self, patience: Duration) -> (ExitStatus, Duration) {
        self.tell_to_end();
        let child = self.child.as_mut().expect("it is a process of this test");
        within(patience, "it ends on SIGTERM", || {
            child.try_wait().expect("a child can be waited for")
        })
    }

    /// Ends it by SIGTERM, in an orderly way.
    ///
    /// # Panics
    ///
    /// It goes on, or does not end with 0.
    #[track_caller]
    pub fn ends_on_sigterm(self) {
        let (status, _) = self.terminate(Duration::from_secs(15));
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // It may have ended, as it should.
        drop(child.kill());
        drop(child.wait());
    }
}

/// A port of this machine that nobody listens on at the moment.
///
/// # Panics
///
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

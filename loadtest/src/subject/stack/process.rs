//! One process of a stack: how it is started, asked, signalled and reaped.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::{StackError, account::Account, ports::Reservation, readiness::Probe, spawner::Spawner};

/// Bytes of a log that go into an error: some twenty lines.
const TAIL_BYTES: u64 = 4096;

/// Everything that is needed to start a process, and to start it again.
#[derive(Debug)]
pub(super) struct Spec {
    /// Name by which faults address it.
    pub(super) name: String,
    /// What to run.
    pub(super) program: PathBuf,
    /// With which arguments.
    pub(super) arguments: Vec<OsString>,
    /// Variables on top of this process's own.
    pub(super) environment: Vec<(String, String)>,
    /// As whom it runs; `None`: as this process.
    pub(super) account: Option<Account>,
    /// What ends it without a chance to finish anything, when it is not let run out or when this
    /// process dies.
    pub(super) ended_by: Signal,
    /// Where it can be reached.
    pub(super) url: String,
    /// How it is asked whether it is ready.
    pub(super) probe: Probe,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// Its ports, kept across restarts.
    pub(super) ports: Vec<Reservation>,
}

/// One process, for those who look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessInfo {
    /// Name, such as `redis` or `api-jwt-1`.
    pub name: String,
    /// Process id, of the last start.
    pub pid: u32,
    /// Where it can be reached.
    pub url: String,
}

/// A started process.
pub(super) struct Process {
    spec: Spec,
    child: Child,
    end_was_told: bool,
}

impl Process {
    /// Starts it. Does not wait until it is ready.
    pub(super) fn spawn(spec: Spec, spawner: &Spawner) -> Result<Self, StackError> {
        let child = start(&spec, spawner)?;
        Ok(Self {
            spec,
            child,
            end_was_told: false,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(super) fn info(&self) -> ProcessInfo {
        ProcessInfo {
            name: self.spec.name.clone(),
            pid: self.child.id(),
            url: self.spec.url.clone(),
        }
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.spec.log.clone()
    }

    /// The last of its ports: for the gateway, the one that is not public.
    pub(super) fn admin_address(&self) -> SocketAddr {
        match (self.spec.ports.last(), self.spec.probe) {
            (Some(port), _) => port.address,
            (None, Probe::Http(address) | Probe::Redis(address) | Probe::Postgres(address)) => {
                address
            }
        }
    }

    /// Kills it if it still runs and starts it anew.
    pub(super) fn restart(&mut self, spawner: &Spawner) -> Result<(), StackError> {
        // It may have ended by itself, which is as good.
        let _ = self.kill();
        self.child = start(&self.spec, spawner)?;
        self.end_was_told = false;
        Ok(())
    }

    /// How it ended; `None` while it runs. Reaps it.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its end, the first time this is asked after it.
    pub(super) fn newly_ended(&mut self) -> Option<(String, ExitStatus)> {
        let status = self.exit_status().filter(|_| !self.end_was_told)?;
        self.end_was_told = true;
        Some((self.spec.name.clone(), status))
    }

    /// Sends a signal to a process that runs.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), StackError> {
        let gone = || std::io::Error::other("it has ended");
        let outcome = match self.exit_status() {
            Some(_) => Err(gone()),
            // Not reaped, so the id cannot belong to another process.
            None => kill_process(Pid::from_child(&self.child), signal).map_err(Into::into),
        };
        outcome.map_err(StackError::system(format!("signalling {}", self.spec.name)))
    }

    /// Ends it at once and reaps it.
    pub(super) fn kill(&mut self) -> Result<(), StackError> {
        self.end_by(self.spec.ended_by)
    }

    /// Ends it by a signal that it does not outlive, and reaps it.
    pub(super) fn end_by(&mut self, signal: Signal) -> Result<(), StackError> {
        self.signal(signal)?;
        self.child
            .wait()
            .map_err(StackError::system(format!("ending {}", self.spec.name)))?;
        Ok(())
    }

    /// Asks once. The outer error is final, the inner one may pass.
    pub(super) fn check_ready(&mut self) -> Result<Result<(), String>, StackError> {
        match self.exit_status() {
            Some(status) => Err(StackError::Died {
                name: self.spec.name.clone(),
                status,
                log: self.spec.log.display().to_string(),
                tail: tail(&self.spec.log),
            }),
            None => Ok(self.spec.probe.ask()),
        }
    }

    pub(super) fn not_ready(&self, deadline: Duration, reason: String) -> StackError {
        StackError::NotReady {
            name: self.spec.name.clone(),
            deadline,
            reason,
            log: self.spec.log.display().to_string(),
            tail: tail(&self.spec.log),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or it is ended now; a zombie must not stay in either case.
        let _ = self.kill();
    }
}

fn start(spec: &Spec, spawner: &Spawner) -> Result<Child, StackError> {
    let what = || format!("starting {} ({})", spec.name, spec.program.display());
    let log = open_log(spec).map_err(StackError::system(what()))?;
    let log_too = log.try_clone().map_err(StackError::system(what()))?;
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too);
    if let Some(Account { user, group }) = spec.account {
        command.uid(user).gid(group);
    }
    let started = spawner.spawn(command, spec.ended_by);
    started.map_err(StackError::system(what()))
}

/// A restarted process continues the log of the one before.
fn open_log(spec: &Spec) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&spec.log)
}

/// The last lines of a log, as far as they can be read.
fn tail(log: &PathBuf) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(it cannot be read: {error})"))
}

//! A whole system of real processes on this machine: Redis, auth-service, API replicas, gateway.
//!
//! [`Stack::start`] returns when every part is ready and the gateway sees all of its upstreams.
//! Each child ends when this process does, whatever ends it; [`Stack::stop`] lets them drain first.
//! The methods that break things act on a process by its name, such as `redis` or `api-jwt-1`.

mod account;
mod error;
mod folder;
mod options;
mod plan;
mod ports;
mod process;
mod programs;
mod readiness;
mod secrets;
mod spawner;
mod stores;
mod up;
mod variables;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::console::tell;
pub use error::StackError;
use folder::Folder;
pub use options::{Detour, Link, RedisSource, Role, StackOptions, UserStore};
pub use plan::EXCHANGED_AUDIENCE;
pub(crate) use ports::Reservation;
use process::Process;
pub use process::ProcessInfo;
pub use secrets::Client;
use spawner::Spawner;
pub use up::up;

/// A start takes less; whoever waits longer is told for what.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// What results say that were measured without [`Stack::restart_all`].
pub const NO_RESTARTS_NOTE: &str = "No restarts between blocks: what differs between two starts of \
                                    the same processes is in no interval.";

/// A running system. Dropping it kills what still runs; [`Stack::stop`] asks first.
pub struct Stack {
    /// Base URL of the public port, of the first gateway.
    pub gateway_url: String,
    /// Base URL of the first gateway's `/metrics` and `/pools`.
    pub gateway_admin_url: String,
    /// Base URLs of every gateway.
    pub gateways: Vec<GatewayUrls>,
    /// Base URL of the first auth service, not through a gateway.
    pub auth_url: String,
    /// Base URLs of every auth service.
    pub auth_urls: Vec<String>,
    /// URL of the Redis that all share.
    pub redis_url: String,
    /// Base URLs of the replicas by strategy, not through the gateway.
    pub pools: BTreeMap<String, Vec<String>>,
    /// Who may authenticate at the auth service, with secrets that only this stack knows.
    pub clients: Vec<Client>,
    processes: Mutex<Vec<Process>>,
    /// Names of the processes that start together, in the order of their start.
    stages: Vec<Vec<String>>,
    folder: Option<Folder>,
    _database: Option<Folder>,
    start_deadline: Duration,
    interrupt: CancellationToken,
    // Last: a child dies with the thread that started it.
    spawner: Spawner,
}

/// Where a gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewayUrls {
    /// Base URL of its public port.
    pub url: String,
    /// Base URL of its `/metrics` and `/pools`.
    pub admin: String,
}

impl Stack {
    /// Starts every part and waits until the whole is ready. Blocks.
    ///
    /// # Errors
    ///
    /// A program is missing, a process died or did not become ready in time, or the start was
    /// interrupted. What was started is ended; the logs are kept and named in the error.
    pub fn start(options: StackOptions) -> Result<Self, StackError> {
        let plan = plan::Plan::new(&options)?;
        let names = |stage: &Vec<process::Spec>| stage.iter().map(|one| one.name.clone()).collect();
        let mut stack = Self {
            gateway_url: plan.gateways[0].url.clone(),
            gateway_admin_url: plan.gateways[0].admin.clone(),
            gateways: plan.gateways,
            auth_url: plan.auth_urls[0].clone(),
            auth_urls: plan.auth_urls,
            redis_url: plan.redis_url,
            pools: plan.pools,
            clients: plan.clients,
            processes: Mutex::new(Vec::new()),
            stages: plan.stages.iter().map(names).collect(),
            folder: Some(plan.folder),
            _database: plan.database,
            start_deadline: options.start_deadline,
            interrupt: options.interrupt,
            spawner: Spawner::start().map_err(StackError::system("starting a thread"))?,
        };
        match stack.start_in_stages(plan.stages) {
            Ok(()) => Ok(stack),
            Err(error) => {
                if matches!(error, StackError::Died { .. } | StackError::NotReady { .. })
                    && let Some(folder) = stack.folder.take()
                {
                    // Its path is in the error, and the reader wants to look.
                    let _ = folder.keep();
                }
                Err(error)
            }
        }
    }

    /// Each stage needs the one before it to be ready.
    fn start_in_stages(&self, stages: Vec<Vec<process::Spec>>) -> Result<(), StackError> {
        let deadline = Instant::now() + self.start_deadline;
        for (stage, names) in stages.into_iter().zip(&self.stages) {
            for spec in stage {
                let process = Process::spawn(spec, &self.spawner)?;
                self.processes().push(process);
            }
            for name in names {
                self.wait_ready_until(name, deadline)?;
            }
        }
        readiness::wait_for_upstreams(self, deadline)
    }

    /// Every process with its current id, in the order of their start.
    #[must_use]
    pub fn processes_info(&self) -> Vec<ProcessInfo> {
        self.processes().iter().map(Process::info).collect()
    }

    /// The current process id of `name`.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn pid(&self, name: &str) -> Result<u32, StackError> {
        self.with(name, |process| Ok(process.info().pid))
    }

    /// Where the log of `name` is.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn log_path(&self, name: &str) -> Result<PathBuf, StackError> {
        self.with(name, |process| Ok(process.log_path()))
    }

    /// Ends a process at once, without a chance to react, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// There is no such process, or it ended already.
    pub fn kill9(&self, name: &str) -> Result<(), StackError> {
        self.with(name, |process| process.end_by(Signal::KILL))
    }

    /// Stops a process from running while its connections stay open: it hangs.
    ///
    /// # Errors
    ///
    /// There is no such process, or it ended.
    pub fn sigstop(&self, name: &str) -> Result<(), StackError> {
        self.with(name, |process| process.signal(Signal::STOP))
    }

    /// Lets a stopped process run on.
    ///
    /// # Errors
    ///
    /// There is no such process, or it ended.
    pub fn sigcont(&self, name: &str) -> Result<(), StackError> {
        self.with(name, |process| process.signal(Signal::CONT))
    }

    /// Asks a process to end. Does not wait.
    ///
    /// # Errors
    ///
    /// There is no such process, or it ended already.
    pub fn terminate(&self, name: &str) -> Result<(), StackError> {
        self.with(name, |process| process.signal(Signal::TERM))
    }

    /// Waits until a process has ended; `None` when it still runs after `patience`.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn wait_exit(
        &self,
        name: &str,
        patience: Duration,
    ) -> Result<Option<ExitStatus>, StackError> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.with(name, |process| Ok(process.exit_status()))?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            std::thread::sleep(readiness::POLL);
        }
    }

    /// Starts a process again, on the same port with the same settings; one that still runs is
    /// killed first. Returns at once; see [`Stack::wait_ready`].
    ///
    /// # Errors
    ///
    /// There is no such process, or it cannot be started.
    pub fn restart(&self, name: &str) -> Result<(), StackError> {
        self.with(name, |process| process.restart(&self.spawner))
    }

    /// Starts every process again, in the order of their first start, and waits until the whole is
    /// ready. Sessions are lost with Redis.
    ///
    /// # Errors
    ///
    /// A process cannot be started or was not ready in time.
    pub fn restart_all(&self) -> Result<(), StackError> {
        for stage in &self.stages {
            for name in stage {
                self.restart(name)?;
            }
            for name in stage {
                self.wait_ready(name)?;
            }
        }
        self.wait_upstreams()
    }

    /// Waits until a process says that it is ready.
    ///
    /// # Errors
    ///
    /// It ended, or was not ready in time.
    pub fn wait_ready(&self, name: &str) -> Result<(), StackError> {
        self.wait_ready_until(name, Instant::now() + self.start_deadline)
    }

    /// Waits until the gateway uses every upstream.
    ///
    /// # Errors
    ///
    /// It does not in time.
    pub fn wait_upstreams(&self) -> Result<(), StackError> {
        readiness::wait_for_upstreams(self, Instant::now() + self.start_deadline)
    }

    fn wait_ready_until(&self, name: &str, deadline: Instant) -> Result<(), StackError> {
        let mut tell_at = Some(Instant::now() + TELL_AFTER);
        loop {
            if self.interrupt.is_cancelled() {
                return Err(StackError::Interrupted);
            }
            let reason = match self.with(name, Process::check_ready)? {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            };
            if Instant::now() >= deadline {
                return self.with(name, |process| {
                    Err(process.not_ready(self.start_deadline, reason))
                });
            }
            if tell_at.is_some_and(|at| Instant::now() >= at) {
                tell(format_args!("{name} is not ready yet: {reason}"));
                tell_at = None;
            }
            std::thread::sleep(readiness::POLL);
        }
    }

    /// Names and ways of ending of the processes that ended since the last call.
    #[must_use]
    pub fn newly_ended(&self) -> Vec<(String, ExitStatus)> {
        self.processes()
            .iter_mut()
            .filter_map(Process::newly_ended)
            .collect()
    }

    /// Ends everything in the reverse order of its start: asks, waits at most `patience`, kills.
    /// Returns how each process ended.
    #[must_use = "a process that was killed did not drain"]
    pub fn stop(self, patience: Duration) -> Vec<(String, ExitStatus)> {
        let mut processes = self.processes();
        for process in processes.iter_mut().rev() {
            // A process that hangs could not react; one that ended already needs no signal.
            let _ = process.signal(Signal::CONT);
            let _ = process.signal(Signal::TERM);
        }
        let deadline = Instant::now() + patience;
        while processes
            .iter_mut()
            .any(|process| process.exit_status().is_none())
            && Instant::now() < deadline
        {
            std::thread::sleep(readiness::POLL);
        }
        processes
            .iter_mut()
            .filter_map(|process| {
                let _ = process.kill();
                Some((process.info().name, process.exit_status()?))
            })
            .collect()
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        // A panic elsewhere leaves the list as it was: every change to it is one step.
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Process) -> Result<T, StackError>,
    ) -> Result<T, StackError> {
        let mut processes = self.processes();
        let process = processes
            .iter_mut()
            .find(|process| process.name() == name)
            .ok_or_else(|| StackError::UnknownProcess(name.to_owned()))?;
        act(process)
    }
}

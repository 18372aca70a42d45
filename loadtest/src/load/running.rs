//! Starts the engine's threads together, and adds up what they found.

use std::{sync::mpsc, thread::JoinHandle, time::Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    Arm, EngineError, EngineOutcome, Load, Options,
    reactor::Reactor,
    start::{self, Start},
    target::Target,
};

/// A run in progress on its own threads.
pub struct Running {
    /// Moment 0 of the timeline: the end of the warm-up.
    pub measured_from: Instant,
    threads: Vec<EngineThread>,
    start: Start,
}

type EngineThread = JoinHandle<Result<EngineOutcome, EngineError>>;

impl Running {
    /// Waits for the end of the run.
    ///
    /// # Errors
    ///
    /// The operating system refused something that the run needs.
    pub fn join(self) -> Result<EngineOutcome, EngineError> {
        let mut outcome = join(self.threads)?;
        outcome.punctuality = self.start.punctuality();
        Ok(outcome)
    }
}

fn join(threads: Vec<EngineThread>) -> Result<EngineOutcome, EngineError> {
    // All of them, also when one has failed: none outlives the run.
    let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    let mut all: Option<EngineOutcome> = None;
    for one in ended {
        let one = one.map_err(|_| EngineError::Panicked)??;
        match &mut all {
            None => all = Some(one),
            Some(all) => all.merge(one),
        }
    }
    all.ok_or(EngineError::Panicked)
}

/// Starts a run on its own threads. Returns when the first connections are open, or a second has
/// passed, and the schedule begins: at once, or at the moment that was asked for.
///
/// # Errors
///
/// An arm cannot be driven, or the operating system refused something that the run needs.
pub fn start(options: Options, arms: Vec<Arm>) -> Result<Running, EngineError> {
    let targets = arms
        .iter()
        .map(|arm| Target::of(arm, &options))
        .collect::<Result<Vec<_>, _>>()?;
    allow_descriptors(&options, &arms);
    let (ready, all_ready) = mpsc::channel();
    let count = thread_count(&options, &arms);
    let mut threads = Vec::new();
    let mut begin = Vec::new();
    for index in 0..count {
        let share = options.share.split(index as u64, count as u64);
        let (options, arms, targets) = (options.clone(), arms.clone(), targets.clone());
        let ready = ready.clone();
        let (send, began) = mpsc::channel();
        begin.push(send);
        let run = move || {
            let mut reactor = Reactor::new(options, &arms, &targets, share)?;
            reactor.open_first_connections()?;
            // Whoever waits for it notices when it is gone.
            let _ = ready.send(());
            drop(ready);
            match began.recv() {
                Ok(began) => {
                    start::sleep_until(began);
                    reactor.run(began)
                }
                // Another thread could not start; its error is the one to tell.
                Err(_) => Ok(reactor.finish(Instant::now())),
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("load-engine-{index}"))
            .spawn(run)
            .map_err(EngineError::system("starting a thread"))?;
        threads.push(thread);
    }
    drop(ready);
    if all_ready.iter().count() < count {
        drop(begin);
        join(threads)?;
        return Err(EngineError::Panicked);
    }
    let start = Start::at(options.start_at, &options.interrupt);
    for begin in begin {
        // A thread that has ended since says why when it is joined.
        let _ = begin.send(start.began);
    }
    Ok(Running {
        measured_from: start.began + options.warmup,
        threads,
        start,
    })
}

/// Does a whole run and waits for it.
///
/// # Errors
///
/// As [`start()`] and [`Running::join`].
pub fn run(options: Options, arms: Vec<Arm>) -> Result<EngineOutcome, EngineError> {
    start(options, arms)?.join()
}

/// Raises the limit of open files to what the connections need, as far as this process may. Where
/// that is not far enough, the outcome has the fault.
fn allow_descriptors(options: &Options, arms: &[Arm]) {
    /// Files, pipes and the connections of whoever calls.
    const BESIDES: u64 = 256;
    let connections = arms.iter().map(|arm| match arm.load {
        Load::Open { .. } => options.max_connections.unwrap_or(options.connections) as u64,
        Load::Closed { connections } => connections as u64,
    });
    let needed = connections.sum::<u64>() + BESIDES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        // What was missing is told when it was.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// A thread without a connection could send nothing.
fn thread_count(options: &Options, arms: &[Arm]) -> usize {
    let connections = arms.iter().map(|arm| match arm.load {
        Load::Open { .. } => options.connections,
        Load::Closed { connections } => connections,
    });
    let fewest = connections.min().unwrap_or(1);
    let fewest = options.share.part_of(fewest);
    options.threads.min(fewest).max(1)
}

//! The state of a link, and what an answer makes of it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, ConnectionAddr, RedisError, RedisResult, Value};
use tokio::sync::Notify;

use super::{
    StoreError,
    connect::{Connection, Made},
    elsewhere::Elsewhere,
    failure::{Failure, Happened, describe},
    fault::Fault,
    lacking::Lacking,
    locator::Locator,
    peer::{self, Peer},
    watched::Watcher,
};
use crate::{
    session::{StoreSettings, redis_url::Node},
    telemetry::{
        outage::Observer,
        trace::{Span, TraceHandle},
    },
};

/// So many calls in a row without an answer close the connection for all.
const SILENT_CALLS: u32 = 3;

/// Counts the connections of the process, so that no two have one place in the sequence.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// What the handles and the task that keeps the connection share.
pub(super) struct Inner {
    state: Mutex<State>,
    /// Tells those who wait for a connection that the state is another.
    changed: Notify,
    /// What does not work although there is a connection.
    lacking: Lacking,
    silent_calls: AtomicU32,
    /// Connections up to this one were to servers that are not in charge any more.
    replaced: AtomicU64,
    /// Wakes the task that keeps the connection: it was closed, or the last handle is gone.
    wake: Arc<Notify>,
    timeout: Duration,
    pub(super) locator: Locator,
    /// There where the server is one of several in a cluster.
    node: Option<Node>,
    peer: Peer,
    observer: Observer,
    watcher: Option<Arc<dyn Watcher>>,
}

enum State {
    /// The first attempt since the last connection is under way.
    Connecting,
    Connected(Connected),
    /// The last attempt failed.
    Down(Fault),
}

/// A connection and its place in the sequence of connections, so that a failure that is reported
/// late does not close the one that came after.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) generation: u64,
    pub(super) connection: Connection,
}

impl Inner {
    pub(super) fn new(
        settings: &StoreSettings,
        node: Option<Node>,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        let peer = Peer::of(settings);
        Self {
            state: Mutex::new(State::Connecting),
            changed: Notify::new(),
            lacking: Lacking::default(),
            silent_calls: AtomicU32::new(0),
            replaced: AtomicU64::new(0),
            wake: Arc::default(),
            timeout: settings.timeout,
            locator: Locator::of(settings),
            node,
            observer: peer::outage(&peer).observer(),
            peer,
            watcher,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the task that keeps the connection.
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The place of the next connection in their sequence.
    pub(super) fn next_generation() -> u64 {
        BEGUN.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What does not work although there is a connection.
    pub(super) fn lacking(&self) -> Option<Fault> {
        self.lacking.fault()
    }

    /// The deadline of a call.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Why there is no connection.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &*self.state() {
            State::Down(fault) => Some(fault.clone()),
            _ => None,
        }
    }

    /// Whether a watcher wants to know what was read and changed.
    pub(super) fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    /// Who wants to know it.
    pub(super) fn watcher(&self) -> Option<&dyn Watcher> {
        self.watcher.as_deref()
    }

    /// The span of a command.
    pub(super) fn span(&self, name: &'static str, trace: &TraceHandle) -> Span {
        self.peer.span(name, trace)
    }

    /// Whether calls go unanswered.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_calls.load(Ordering::Relaxed) > 0
    }

    /// The connection, while there is one.
    pub(super) fn connected(&self) -> Option<Connected> {
        match &*self.state() {
            State::Connected(connected) => Some(connected.clone()),
            _ => None,
        }
    }

    /// Asks over a connection.
    pub(super) async fn ask(
        &self,
        name: &str,
        mut connected: Connected,
        command: &Cmd,
    ) -> Result<Value, Failure> {
        let answer = connected.connection.send_packed_command(command).await;
        self.judge(name, connected.generation, answer)
    }

    /// Asks over the connection after the one of this generation, when it stands in time.
    pub(super) async fn ask_next(
        &self,
        generation: u64,
        name: &str,
        command: &Cmd,
    ) -> Result<Value, Failure> {
        let settled = |error| Failure::new(Happened::Settled, error);
        let asked = async {
            let connected = self.next(generation).await;
            let connected = connected.map_err(|fault| settled(StoreError::Down(fault)))?;
            self.ask(name, connected, command).await
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(settled(StoreError::Timeout(self.timeout))),
        }
    }

    /// Waits for a connection that came after the one of this generation; why there is none.
    pub(super) async fn next(&self, generation: u64) -> Result<Connected, Fault> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            match &*self.state() {
                State::Connected(connected) if connected.generation > generation => {
                    return Ok(connected.clone());
                }
                State::Down(fault) => return Err(fault.clone()),
                _ => {}
            }
            changed.await;
        }
    }

    /// Turns the library's answer into ours, and closes a connection that is of no more use.
    pub(super) fn judge(
        &self,
        name: &str,
        generation: u64,
        answer: RedisResult<Value>,
    ) -> Result<Value, Failure> {
        match answer.and_then(Value::extract_error) {
            // It does not know what happened since at the server that took its place.
            Ok(_) if generation <= self.replaced.load(Ordering::Relaxed) => {
                Err(Failure::new(Happened::Unknown, StoreError::Broken))
            }
            Ok(value) => {
                self.silent_calls.store(0, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => Err(self.failure(name, generation, &error)),
        }
    }

    fn failure(&self, name: &str, generation: u64, error: &RedisError) -> Failure {
        let failure = Failure::new;
        if error.is_timeout() {
            self.silent(generation);
            return failure(Happened::Settled, StoreError::Timeout(self.timeout));
        }
        let elsewhere = self.node.as_ref().map(|node| Elsewhere::of(error, node));
        if let Some(elsewhere) = elsewhere.flatten() {
            // The connection is as good as before.
            self.silent_calls.store(0, Ordering::Relaxed);
            return Failure {
                error: StoreError::Down(elsewhere.fault()),
                happened: Happened::Settled,
                elsewhere: Some(elsewhere),
            };
        }
        if let Some(fault) = Fault::of_error(name, error) {
            return if self.meets(generation, &fault) {
                failure(Happened::No, StoreError::Down(fault))
            } else {
                failure(Happened::Settled, StoreError::Refused(fault))
            };
        }
        if error.is_io_error() || error.is_unrecoverable_error() {
            self.close(generation);
            return failure(Happened::Unknown, StoreError::Broken);
        }
        failure(
            Happened::Settled,
            StoreError::Protocol(describe(error).to_owned()),
        )
    }

    /// A call over this connection was not answered in time.
    fn silent(&self, generation: u64) {
        if self.silent_calls.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS {
            self.close(generation);
        }
    }

    /// Notes what a connection has shown; whether that is the end of it.
    pub(super) fn meets(&self, generation: u64, fault: &Fault) -> bool {
        self.observer.failed(fault);
        if fault.is_of_connection() {
            self.close(generation);
            return true;
        }
        self.lacking.meet(fault);
        false
    }

    /// Notes that all works.
    pub(super) fn works(&self) {
        if self.lacking.ends() {
            self.observer.recovered();
        }
    }

    /// Uses a connection from now on, in place of the one that may stand.
    pub(super) fn install(&self, generation: u64, address: &ConnectionAddr, made: Made) {
        // What was read over the old one is not watched over the new one.
        if let Some(old) = self.connected() {
            self.close(old.generation);
        }
        self.silent_calls.store(0, Ordering::Relaxed);
        self.peer.connected_to(address);
        match &made.lacking {
            Some(fault) => {
                self.meets(generation, fault);
            }
            None => {
                self.lacking.clear();
                self.observer.recovered();
            }
        }
        if let Some(watcher) = &self.watcher {
            watcher.connected(generation);
        }
        *self.state() = State::Connected(Connected {
            generation,
            connection: made.connection,
        });
        self.changed.notify_waiters();
    }

    /// An attempt to connect failed.
    pub(super) fn fail(&self, fault: Fault) {
        self.observer.failed(&fault);
        let mut state = self.state();
        if !matches!(*state, State::Connected(_)) {
            *state = State::Down(fault);
            self.changed.notify_waiters();
        }
    }

    /// Gives a connection up whose server is not in charge any more. What it still answers is not
    /// believed.
    pub(super) fn replace(&self, generation: u64) {
        self.replaced.fetch_max(generation, Ordering::Relaxed);
        self.close(generation);
    }

    /// Gives a connection up, if it is still the one that is used.
    pub(super) fn close(&self, generation: u64) {
        let mut state = self.state();
        match &*state {
            State::Connected(connected) if connected.generation == generation => {}
            _ => return,
        }
        *state = State::Connecting;
        if let Some(watcher) = &self.watcher {
            watcher.lost(generation);
        }
        self.wake.notify_one();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

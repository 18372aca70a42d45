//! A cluster: a connection to each node that is in charge of slots, and commands sent to the one that
//! their key is with.
//!
//! The library's own client for clusters waits 1.28 s and more for a slot that is down, again and again,
//! holds all callers while it reads the map of slots, and does not say which node sent a message of
//! tracking. Here each node has a link as one server has: it fails fast while its node is away, and all
//! others go on.
//!
//! | what a node answers | the call | the map |
//! | --- | --- | --- |
//! | `MOVED`: the slot is with another node now | goes there at once | has it at once, and is read anew from that node |
//! | `ASK`: the key was moved already, the slot is still being | goes there, once | stays |
//! | `TRYAGAIN`: some keys of a script were moved, others not | is sent again until its deadline | stays |
//! | `CLUSTERDOWN`, or nothing | fails | is read anew |
//!
//! Otherwise the map is read each second. Nothing is ever read from a replica: what it knows may be old,
//! and a logout would be undone. A node that was a primary answers `MOVED` to everything.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{Arg, Cmd, Value};
use tokio::sync::Notify;

use super::{
    StoreError,
    elsewhere::Elsewhere,
    failure::Failure,
    fault::Fault,
    members::{Map, Members},
    peer::{self, Peer},
    probe::Purpose,
    server::Server,
    topology::Scout,
    watched::Watcher,
};
use crate::{
    background::supervised,
    session::{StoreSettings, redis_url::Node, slot},
    telemetry::{outage::Observer, trace::TraceHandle},
};

/// How often the map is read when nothing asks for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often at most.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Before a script is tried again whose keys are being moved.
const MOVING_PAUSE: Duration = Duration::from_millis(10);

/// A handle; clones share it.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Shared>);

/// The same without keeping it.
#[derive(Clone)]
pub(in crate::session) struct WeakCluster(Weak<Shared>);

struct Shared {
    members: Members,
    timeout: Duration,
    /// Tells those who wait for the first map.
    changed: Notify,
    /// Has the map read anew, or the task end.
    wake: Arc<Notify>,
    observer: Observer,
}

impl Cluster {
    /// Starts the task that reads the map. Must be called inside a runtime.
    pub(super) fn open(
        settings: StoreSettings,
        seeds: Vec<Node>,
        purpose: Purpose,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let observer = peer::outage(&Peer::of(&settings)).observer();
        let cluster = Self(Arc::new(Shared {
            members: Members::new(settings.clone(), purpose, watcher),
            timeout: settings.timeout,
            changed: Notify::new(),
            wake: Arc::clone(&wake),
            observer,
        }));
        let weak = Arc::downgrade(&cluster.0);
        tokio::spawn(supervised("map of the cluster", move || {
            let scout = Scout::new(settings.clone(), seeds.clone());
            keep_map(weak.clone(), scout, Arc::clone(&wake))
        }));
        cluster
    }

    pub(super) fn downgrade(&self) -> WeakCluster {
        WeakCluster(Arc::downgrade(&self.0))
    }

    /// Sends one command to the node that its key is with.
    pub(super) async fn send(
        &self,
        name: &'static str,
        command: &Cmd,
        trace: Option<&TraceHandle>,
        may_repeat: bool,
    ) -> Result<Value, StoreError> {
        let call = Call {
            name,
            command,
            trace,
            may_repeat,
            slot: slot_of(command),
        };
        let Some(server) = self.0.members.owner(call.slot) else {
            return Box::pin(self.0.send_later(call)).await;
        };
        match server.send(name, command, trace, may_repeat).await {
            Ok(value) => Ok(value),
            Err(failure) => Box::pin(self.0.follow(call, failure)).await,
        }
    }

    /// Which connection to the node that a key is with is used.
    pub(super) async fn generation(&self, key: &str) -> Result<u64, StoreError> {
        self.0.first_map().await?;
        let owner = self.0.members.owner(slot::of(key.as_bytes()));
        let owner = owner.ok_or(StoreError::Down(Fault::UNSERVED))?;
        owner.generation().await
    }

    /// Reads over the watched connection of the node that the key is with.
    pub(super) async fn read_tracked(&self, read: &Cmd) -> Result<Value, StoreError> {
        match self.0.members.owner(slot_of(read)) {
            Some(server) => server.read_tracked(read).await,
            None => Err(StoreError::Broken),
        }
    }

    /// Whether all nodes answer.
    pub(super) async fn proves(&self) -> bool {
        let Some(map) = self.0.members.map() else {
            return false;
        };
        let servers = map.members.iter().map(|member| &member.server);
        let answers = servers.map(|server| async { server.ping().await.is_ok() });
        join_all(answers).await.into_iter().all(|answers| answers)
    }

    /// Whether one of the nodes answers: the sessions of those that do not are without a verdict, and
    /// the others are not.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let map = self.0.first_map().await?;
        let mut last = StoreError::Down(Fault::NOT_YET);
        let mut members: Vec<_> = map.members.iter().collect();
        members.sort_by_key(|member| !member.server.is_connected());
        for member in members {
            match member.server.ping().await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What does not work although some node answers.
    pub(super) fn lacking(&self) -> Option<Fault> {
        let map = self.0.members.map()?;
        let unserved = map.unserved();
        if unserved > 0 {
            return Some(Fault::of_slots(unserved));
        }
        let faults = map.members.iter().map(|member| member.server.fault());
        let faults: Vec<_> = faults.collect();
        let away = faults.iter().filter(|fault| fault.is_some()).count();
        match faults.iter().flatten().next() {
            Some(fault) => Some(Fault::of_nodes(away, faults.len(), fault)),
            None => map
                .members
                .iter()
                .find_map(|member| member.server.lacking()),
        }
    }
}

impl WeakCluster {
    pub(super) fn upgrade(&self) -> Option<Cluster> {
        self.0.upgrade().map(Cluster)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.0.members.map().map_or(0, |map| map.members.len());
        f.debug_struct("Cluster")
            .field("members", &members)
            .finish()
    }
}

/// A command on its way.
#[derive(Clone, Copy)]
struct Call<'a> {
    name: &'static str,
    command: &'a Cmd,
    trace: Option<&'a TraceHandle>,
    may_repeat: bool,
    slot: u16,
}

impl Call<'_> {
    async fn send_to(self, server: &Server) -> Result<Value, Failure> {
        server
            .send(self.name, self.command, self.trace, self.may_repeat)
            .await
    }
}

/// The slot of the first key; scripts have it behind the number of keys.
fn slot_of(command: &Cmd) -> u16 {
    let mut words = command.args_iter();
    let of = |word: Option<Arg<&[u8]>>| match word {
        Some(Arg::Simple(key)) => slot::of(key),
        _ => 0,
    };
    match words.next() {
        Some(Arg::Simple(b"EVAL")) => of(words.nth(2)),
        _ => of(words.next()),
    }
}

impl Shared {
    /// Waits for the first map, within the deadline of a call.
    async fn first_map(&self) -> Result<Arc<Map>, StoreError> {
        let known = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                // From here on no change is missed.
                changed.as_mut().enable();
                if let Some(known) = self.members.known() {
                    return known.map_err(StoreError::Down);
                }
                changed.await;
            }
        };
        let timeout = self.timeout;
        let known = tokio::time::timeout(timeout, known).await;
        known.unwrap_or(Err(StoreError::Timeout(timeout)))
    }

    /// For the first map, and for slots that were with nobody.
    async fn send_later(&self, call: Call<'_>) -> Result<Value, StoreError> {
        self.first_map().await?;
        let Some(server) = self.members.owner(call.slot) else {
            self.wake.notify_one();
            return Err(StoreError::Down(Fault::UNSERVED));
        };
        match call.send_to(&server).await {
            Ok(value) => Ok(value),
            Err(failure) => self.follow(call, failure).await,
        }
    }

    /// Goes where a node has sent a call, within one more deadline.
    async fn follow(&self, call: Call<'_>, failure: Failure) -> Result<Value, StoreError> {
        let timeout = self.timeout;
        let followed = tokio::time::timeout(timeout, async {
            let mut failure = failure;
            loop {
                let outcome = match failure.elsewhere.take() {
                    Some(Elsewhere::Moved(slot, node)) => {
                        let server = self.members.moved(slot, node);
                        self.wake.notify_one();
                        call.send_to(&server).await
                    }
                    Some(Elsewhere::Ask(node)) => {
                        let server = self.members.server_at(node);
                        server
                            .send_asking(call.name, call.command, call.trace)
                            .await
                    }
                    Some(Elsewhere::Later) => {
                        tokio::time::sleep(MOVING_PAUSE).await;
                        match self.members.owner(call.slot) {
                            Some(server) => call.send_to(&server).await,
                            None => return Err(failure.error),
                        }
                    }
                    Some(Elsewhere::Nowhere) | None => {
                        self.wake.notify_one();
                        return Err(failure.error);
                    }
                };
                match outcome {
                    Ok(value) => return Ok(value),
                    Err(next) => failure = next,
                }
            }
        });
        followed.await.unwrap_or(Err(StoreError::Timeout(timeout)))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Reads the map again and again, until nobody uses it any more.
async fn keep_map(shared: Weak<Shared>, mut scout: Scout, wake: Arc<Notify>) {
    loop {
        let Some(hint) = shared.upgrade().map(|shared| shared.members.take_hint()) else {
            return;
        };
        let began = Instant::now();
        let view = scout.look(hint).await;
        match (shared.upgrade(), view) {
            (None, _) => return,
            (Some(shared), Ok(view)) => {
                shared.observer.recovered();
                shared.members.install(view);
                shared.changed.notify_waiters();
            }
            (Some(shared), Err(fault)) => {
                shared.observer.failed(&fault);
                shared.members.fail(fault);
                shared.changed.notify_waiters();
            }
        }
        drop(tokio::time::timeout(LOOK_EVERY, wake.notified()).await);
        tokio::time::sleep(LOOK_PAUSE.saturating_sub(began.elapsed())).await;
    }
}

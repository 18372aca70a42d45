//! The task that keeps a link connected: it connects, asks again and again whether the connection
//! can be used, and makes another when it cannot.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use redis::{ConnectionAddr, PushInfo, PushKind};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    connect::{Made, connect},
    fault::Fault,
    inner::Inner,
    locator::Locator,
    probe::{self, Questions},
    watched::invalidate,
};
use crate::session::StoreSettings;

/// How often a connection is asked whether it can be used. It also keeps the connection from being
/// closed for idleness, by Redis or on the way.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// One in so many times every command that is needed is tried, and always while one is refused. The
/// others try one write, which tells a replica and a full server: less work for Redis.
const ALL_IN: u32 = 10;
/// Pause between attempts to connect: short enough to answer again well within a second.
const PAUSE: Duration = Duration::from_millis(100);
/// The same when only an operator can end what is wrong.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// How often another connection is made in place of one whose server may have lost its place.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// The task. Begun again it goes on with what it shares with the handles.
#[derive(Clone)]
pub(super) struct Connector {
    inner: Weak<Inner>,
    settings: StoreSettings,
    locator: Locator,
    questions: Questions,
    /// Says that the connection was closed, or that the last handle is gone.
    woken: Arc<Notify>,
}

impl Connector {
    pub(super) fn new(inner: &Arc<Inner>, settings: StoreSettings, questions: Questions) -> Self {
        Self {
            inner: Arc::downgrade(inner),
            woken: inner.wake(),
            locator: inner.locator.clone(),
            settings,
            questions,
        }
    }

    /// Keeps the link connected until nobody uses it any more.
    pub(super) async fn run(mut self) {
        // The connection that was used last. It may stand while another is made in its place.
        let mut latest: Option<(u64, ConnectionAddr)> = None;
        while let Some(inner) = self.inner.upgrade() {
            self.replace_if_moved(&inner, latest.as_ref());
            let (tracking, generation) = (inner.is_watched(), Inner::next_generation());
            drop(inner);
            let made = self.connect(tracking, generation).await;
            let Some(inner) = self.inner.upgrade() else {
                return;
            };
            self.replace_if_moved(&inner, latest.as_ref());
            match made {
                Ok(Some((address, made))) => {
                    inner.install(generation, &address, made);
                    drop(inner);
                    tracing::debug!(generation, %address, "connected to redis");
                    self.stand(generation, &address).await;
                    latest = Some((generation, address));
                }
                Ok(None) => {}
                Err(fault) => {
                    let pause = if fault.is_lasting() {
                        LONG_PAUSE
                    } else {
                        PAUSE
                    };
                    inner.fail(fault);
                    drop(inner);
                    drop(timeout(pause, self.locator.changed()).await);
                }
            }
        }
    }

    /// Gives up what stands if its server is not in charge any more: nobody else watches that while
    /// another connection is made.
    fn replace_if_moved(&self, inner: &Inner, latest: Option<&(u64, ConnectionAddr)>) {
        if let Some((generation, address)) = latest
            && !self.locator.leads_to(address)
        {
            inner.replace(*generation);
        }
    }

    /// Connects to the server in charge. `None`: while that was tried, another one took its place.
    async fn connect(
        &mut self,
        tracking: bool,
        generation: u64,
    ) -> Result<Option<(ConnectionAddr, Made)>, Fault> {
        let address = self.locator.locate().await?;
        let push = push_to(self.inner.clone(), generation);
        let settings = &self.settings;
        tokio::select! {
            made = connect(settings, address.clone(), &self.questions, tracking, push) => {
                Ok(Some((address, made?)))
            }
            () = self.locator.moved(&address) => Ok(None),
        }
    }

    /// Returns when another connection is to be made.
    async fn stand(&mut self, generation: u64, address: &ConnectionAddr) {
        let began = Instant::now();
        let mut asked = 0_u32;
        loop {
            let Some(silent) = self.inner.upgrade().map(|inner| inner.is_silent()) else {
                return;
            };
            let pause = if silent {
                self.settings.timeout
            } else {
                ASK_EVERY
            };
            let moved = tokio::select! {
                // What wakes it may be about an older connection, and is then one question too many.
                () = self.woken.notified() => false,
                () = sleep(pause) => false,
                () = self.locator.moved(address) => true,
            };
            let Some(inner) = self.inner.upgrade() else {
                return;
            };
            if moved {
                inner.replace(generation);
                return;
            }
            let Some(connected) = inner.connected() else {
                break;
            };
            asked = asked.wrapping_add(1);
            let question = match inner.lacking() {
                None if !asked.is_multiple_of(ALL_IN) => &self.questions.write,
                _ => &self.questions.all,
            };
            let answer = tokio::select! {
                answer = inner.ask("EVAL", connected, question) => answer,
                () = self.locator.moved(address) => {
                    inner.replace(generation);
                    return;
                }
            };
            if let Ok(answer) = answer {
                match probe::fault(&answer) {
                    None => inner.works(),
                    Some(fault) => {
                        inner.meets(generation, &fault);
                        if fault.is_of_isolated() && began.elapsed() > RENEW_EVERY {
                            return;
                        }
                    }
                }
            }
        }
        // A server that closes what it has just accepted is not asked without end.
        if began.elapsed() < PAUSE {
            sleep(PAUSE).await;
        }
    }
}

/// Hands push messages of the connection `generation` on.
fn push_to(
    inner: Weak<Inner>,
    generation: u64,
) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
    move |push| {
        let Some(inner) = inner.upgrade() else {
            return Err(());
        };
        match push.kind {
            PushKind::Invalidate => {
                if let Some(watcher) = inner.watcher() {
                    for value in &push.data {
                        invalidate(watcher, value);
                    }
                }
            }
            PushKind::Disconnection => inner.close(generation),
            _ => {}
        }
        Ok(())
    }
}

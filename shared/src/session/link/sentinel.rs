//! Which server is the primary, as sentinels say.
//!
//! One thread of the process asks all sentinels of a URL at once, each over a connection of its own:
//! every second, and without delay when one of them announces a change. Every connection of the
//! process to Redis goes by what it finds, so that all of them leave a primary that was replaced at
//! the same time. It is a thread and no task: it must outlive the runtime of any worker.

mod views;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use redis::{ErrorKind, Pipeline, PushKind, RedisError, Value, from_redis_value};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

pub(super) use self::views::{CurrentPrimary, Located};
use self::views::{Primary, Said, View, judge};
use super::{
    connect::{Connection, connect_to_sentinel},
    fault::Fault,
};
use crate::{
    background::supervised,
    session::{
        StoreSettings,
        redis_url::{Node, SentinelUrl},
    },
    shutdown::CancellationToken,
};

/// How often each sentinel is asked, whatever it announces.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often at most, however much it announces.
const ASK_PAUSE: Duration = Duration::from_millis(20);
/// Pause before a sentinel that failed is connected to again.
const PAUSE: Duration = Duration::from_millis(500);
/// What a sentinel announces before it promotes a replica, when it has done so, and when it hears that
/// another sentinel has.
const ANNOUNCEMENTS: [&str; 3] = [
    "+failover-state-send-slaveof-noone",
    "+promoted-slave",
    "+switch-master",
];

/// The watches of this process, by what they were started with.
static WATCHES: Mutex<Vec<(StoreSettings, Weak<Watch>)>> = Mutex::new(Vec::new());

/// Asks sentinels until it is dropped.
pub(super) struct Watch {
    located: watch::Receiver<Located>,
    stop: CancellationToken,
}

impl Watch {
    /// The one of these settings, which are of this URL.
    ///
    /// # Panics
    ///
    /// There is no thread left.
    pub(super) fn of(settings: &StoreSettings, url: &SentinelUrl) -> Arc<Self> {
        let mut watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|(_, watch)| watch.strong_count() > 0);
        let same = watches.iter().find(|(of, _)| of == settings);
        if let Some(watch) = same.and_then(|(_, watch)| watch.upgrade()) {
            return watch;
        }
        let watch = Arc::new(Self::start(settings.clone(), url.clone()));
        watches.push((settings.clone(), Arc::downgrade(&watch)));
        watch
    }

    #[expect(clippy::expect_used, reason = "without a thread nothing is ever known")]
    fn start(settings: StoreSettings, url: SentinelUrl) -> Self {
        let (sender, located) = watch::channel(None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let inquiry = Arc::new(Inquiry {
            views: Mutex::new(vec![View::default(); url.sentinels.len()]),
            heard: Notify::new(),
            announced: watch::Sender::new(()),
            located: sender,
            settings,
            url,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system has what a runtime needs");
        let asking = move || {
            let asking = supervised("sentinels", move || Arc::clone(&inquiry).run());
            runtime.block_on(stopped.run_until_cancelled_owned(asking));
        };
        thread::Builder::new()
            .name("sentinels".to_owned())
            .spawn(asking)
            .expect("the system has a thread left");
        Self { located, stop }
    }

    /// What was found, and tells when it changes.
    pub(super) fn located(&self) -> watch::Receiver<Located> {
        self.located.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the tasks of a watch share.
struct Inquiry {
    settings: StoreSettings,
    url: SentinelUrl,
    /// One for each sentinel, in their order.
    views: Mutex<Vec<View>>,
    /// A view has changed.
    heard: Notify,
    /// A sentinel has announced something.
    announced: watch::Sender<()>,
    located: watch::Sender<Located>,
}

impl Inquiry {
    async fn run(self: Arc<Self>) {
        let sentinels = self.url.sentinels.iter().enumerate();
        let asking = join_all(sentinels.map(|(index, sentinel)| self.follow(index, sentinel)));
        join(asking, self.find()).await;
    }

    /// Says where the primary is, whenever that may have changed.
    async fn find(&self) {
        loop {
            let found = judge(&self.views(), Instant::now());
            self.located.send_if_modified(|located| {
                let is_new = *located != found.located;
                if is_new {
                    if let Some(Ok(current)) = &found.located {
                        let (primary, is_being_replaced) =
                            (&current.node, current.is_being_replaced);
                        tracing::info!(%primary, is_being_replaced, "what sentinels say of redis");
                    }
                    *located = found.located;
                }
                is_new
            });
            // By then what was heard may be too old.
            drop(timeout(found.holds, self.heard.notified()).await);
        }
    }

    /// Asks one sentinel for ever, over one connection after another.
    async fn follow(&self, index: usize, sentinel: &Node) {
        loop {
            let fault = match self.connect(sentinel).await {
                Ok(mut connection) => self.keep_asking(index, &mut connection).await,
                Err(fault) => fault,
            };
            tracing::debug!(%sentinel, %fault, "a sentinel does not answer");
            self.note(index, |view| view.fault = Some(fault));
            sleep(PAUSE).await;
        }
    }

    async fn connect(&self, sentinel: &Node) -> Result<Connection, Fault> {
        let announced = self.announced.clone();
        let mut connection =
            connect_to_sentinel(&self.settings, &self.url, sentinel, move |push| {
                if matches!(push.kind, PushKind::Message | PushKind::Disconnection) {
                    announced.send_replace(());
                }
                Ok(())
            })
            .await?;
        let subscribed = connection.subscribe(&ANNOUNCEMENTS).await;
        subscribed.map_err(|error| fault_of(&error))?;
        Ok(connection)
    }

    /// Returns what went wrong at last.
    async fn keep_asking(&self, index: usize, connection: &mut Connection) -> Fault {
        let question = question(&self.url.primary);
        let mut announced = self.announced.subscribe();
        loop {
            announced.mark_unchanged();
            let asked = Instant::now();
            let answer = connection.send_packed_commands(&question, 0, question.len());
            match answer.await.and_then(read) {
                Ok(primary) => self.note(index, |view| {
                    view.said = Some(Said { asked, primary });
                    view.fault = None;
                }),
                Err(error) => return fault_of(&error),
            }
            drop(timeout(ASK_EVERY, announced.changed()).await);
            sleep(ASK_PAUSE.saturating_sub(asked.elapsed())).await;
        }
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut View)) {
        change(&mut self.views()[index]);
        self.heard.notify_one();
    }

    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the epoch, which orders what sentinels say, and whether the primary is being replaced; and
/// then for the address, which is that of the promoted replica as soon as it is promoted. In this order
/// no switch in between gives the old address the new epoch.
fn question(primary: &str) -> Pipeline {
    let mut both = redis::pipe();
    both.cmd("SENTINEL").arg("MASTER").arg(primary);
    both.cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(primary);
    both
}

/// Reads the answers to [`question`]; `None`: the sentinel does not know the name.
fn read(answers: Vec<Value>) -> Result<Option<Primary>, RedisError> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil).extract_error();
    // An error there is of no interest when the name is not known.
    let about = next();
    let address = next()?;
    if address == Value::Nil {
        return Ok(None);
    }
    let (host, port): (String, String) = from_redis_value(address)?;
    let about: HashMap<String, String> = from_redis_value(about?)?;
    let about = |name: &str| about.get(name).map(String::as_str).unwrap_or_default();
    // From the promotion on the two answers differ.
    let is_promoted = about("ip") != host || about("port") != port;
    let is_failing_over = about("flags")
        .split(',')
        .any(|flag| flag == "failover_in_progress");
    let number = |text: &str| text.parse::<u64>().map_err(|_| no_number());
    Ok(Some(Primary {
        epoch: number(about("config-epoch"))?,
        is_being_replaced: is_failing_over && !is_promoted,
        node: Node {
            port: u16::try_from(number(&port)?).map_err(|_| no_number())?,
            host,
        },
    }))
}

fn no_number() -> RedisError {
    (ErrorKind::Parse, "no number").into()
}

fn fault_of(error: &RedisError) -> Fault {
    if error.code() == Some("NOPERM") {
        return Fault::of_sentinels(
            "the user of sentinel_user may not run SENTINEL MASTER and SUBSCRIBE there: \
             change their ACL"
                .to_owned(),
            true,
        );
    }
    Fault::of_call("SENTINEL", error)
}

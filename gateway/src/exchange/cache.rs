//! Tokens by session id, one exchange at a time for each.
//!
//! One cache for the process, not one a thread: a client's requests come over several connections
//! and so over several threads, and each thread would ask anew. What is shared is a look under a
//! lock that covers a part of the ids.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hashlink::LruCache;
use http::HeaderValue;
use shared::telemetry::trace::TraceHandle;
use tokio::sync::watch;

use super::{credential::OpaqueId, response::Reply};

/// Parts with a lock each, once the cache is large enough to be divided.
const PARTS: usize = 16;
/// The smallest cache that is divided.
const DIVIDED_FROM: usize = 1024;
/// What is left of a token's life when it is used for the last time: times in tokens are whole
/// seconds, and the request still has to reach the API.
const LEAST_REST: Duration = Duration::from_secs(1);
/// After a failed refresh the next one waits for this long.
const REFRESH_AGAIN: Duration = Duration::from_secs(1);

/// What an exchange says of an id.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The value of `Authorization` to send on.
    Token(HeaderValue),
    /// The token endpoint knows no such session. The API says so to the client.
    Unknown,
    /// It could not be found out.
    Undecided,
}

/// What a look at the cache says to do.
pub(super) enum Lookup {
    /// Use this.
    Kept(HeaderValue),
    /// Use this, and exchange anew meanwhile.
    Aging(HeaderValue, Flight),
    /// Somebody else's exchange is on its way.
    Join(Waiting),
    /// Exchange, and wait like the others.
    Lead(Flight, Waiting),
}

/// Waits for the end of an exchange.
#[derive(Clone)]
pub(crate) struct Waiting {
    ends: watch::Receiver<Option<Verdict>>,
    leader: Option<TraceHandle>,
}

impl Waiting {
    /// The request that began the exchange, if that is traced.
    pub(super) fn leader(&self) -> Option<&TraceHandle> {
        self.leader.as_ref()
    }

    /// The verdict; undecided when the exchange was given up, as at the end of a drain.
    pub(super) async fn verdict(mut self) -> Verdict {
        match self.ends.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.clone().unwrap_or(Verdict::Undecided),
            Err(_) => Verdict::Undecided,
        }
    }
}

/// Tokens and exchanges on their way.
pub(super) struct Cache(Vec<Mutex<Part>>);

struct Part {
    kept: LruCache<OpaqueId, Kept>,
    flights: HashMap<OpaqueId, Waiting>,
}

struct Kept {
    authorization: HeaderValue,
    ends: Instant,
    refresh_from: Instant,
}

impl Cache {
    /// Keeps at most `most` tokens.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let parts = if most < DIVIDED_FROM { 1 } else { PARTS };
        let part = || Part {
            kept: LruCache::new(most / parts),
            flights: HashMap::new(),
        };
        Arc::new(Self((0..parts).map(|_| Mutex::new(part())).collect()))
    }

    /// What to do for a request with this id.
    pub(super) fn look(self: &Arc<Self>, id: OpaqueId, now: Instant) -> Lookup {
        let mut part = self.part(&id);
        if let Some(kept) = part.kept.get(&id) {
            if now < kept.ends {
                let authorization = kept.authorization.clone();
                let aging = now >= kept.refresh_from;
                if aging && !part.flights.contains_key(&id) {
                    let (flight, _) = self.lead(&mut part, id);
                    return Lookup::Aging(authorization, flight);
                }
                return Lookup::Kept(authorization);
            }
            part.kept.remove(&id);
        }
        if let Some(flight) = part.flights.get(&id) {
            return Lookup::Join(flight.clone());
        }
        let (flight, waiting) = self.lead(&mut part, id);
        Lookup::Lead(flight, waiting)
    }

    /// Tokens kept now, some of them perhaps past their end.
    pub(super) fn len(&self) -> usize {
        let count = |part: &Mutex<Part>| lock(part).kept.len();
        self.0.iter().map(count).sum()
    }

    /// Begins the single flight of an id.
    fn lead(self: &Arc<Self>, part: &mut Part, id: OpaqueId) -> (Flight, Waiting) {
        let (sender, ends) = watch::channel(None);
        let waiting = Waiting { ends, leader: None };
        part.flights.insert(id, waiting.clone());
        let flight = Flight {
            cache: Arc::clone(self),
            id,
            sender,
        };
        (flight, waiting)
    }

    fn part(&self, id: &OpaqueId) -> MutexGuard<'_, Part> {
        lock(&self.0[id.part(self.0.len())])
    }
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one exchange of an id (single flight). Dropped without an end, it leaves those who wait
/// undecided, and the next request leads another.
pub(super) struct Flight {
    cache: Arc<Cache>,
    id: OpaqueId,
    sender: watch::Sender<Option<Verdict>>,
}

impl Flight {
    /// The id to exchange.
    pub(super) fn id(&self) -> &OpaqueId {
        &self.id
    }

    /// Says which request began it, for those that wait for it as well.
    pub(super) fn led_by(&self, leader: Option<TraceHandle>) {
        if leader.is_some()
            && let Some(waiting) = self.cache.part(&self.id).flights.get_mut(&self.id)
        {
            waiting.leader = leader;
        }
    }

    /// Ends it: keeps a token of a request sent at `asked`, and gives the verdict to those who
    /// wait. Only tokens are kept: the next request with an unknown id, or after a failure, asks
    /// again.
    pub(super) fn finish(self, reply: Reply, asked: Instant) {
        let mut part = self.cache.part(&self.id);
        let verdict = match reply {
            Reply::Token(authorization, lives) => {
                part.kept.remove(&self.id);
                if let Some(kept) = Kept::new(authorization.clone(), lives, asked) {
                    part.kept.insert(self.id, kept);
                }
                Verdict::Token(authorization)
            }
            Reply::Unknown => {
                part.kept.remove(&self.id);
                Verdict::Unknown
            }
            Reply::Refused | Reply::Failed | Reply::Unreachable => {
                if let Some(kept) = part.kept.get_mut(&self.id) {
                    kept.refresh_from = Instant::now() + REFRESH_AGAIN;
                }
                Verdict::Undecided
            }
        };
        drop(part);
        // Nobody may be waiting any more.
        self.sender.send_replace(Some(verdict));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.cache.part(&self.id).flights.remove(&self.id);
    }
}

impl Kept {
    /// `None` for a token that ends too soon to be used twice.
    fn new(authorization: HeaderValue, lives: Duration, asked: Instant) -> Option<Self> {
        let useful = lives.saturating_sub(LEAST_REST.max(lives / 10));
        let ends = asked.checked_add(useful)?;
        (!useful.is_zero()).then_some(Self {
            authorization,
            ends,
            refresh_from: asked + useful * 4 / 5,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(number: u8) -> OpaqueId {
        let text = [[b'0' + number; 42].as_slice(), b"A"].concat();
        OpaqueId::parse(&text).unwrap()
    }

    fn token(text: &'static str, lives: Duration) -> Reply {
        Reply::Token(HeaderValue::from_static(text), lives)
    }

    fn lead(cache: &Arc<Cache>, id: OpaqueId, now: Instant) -> (Flight, Waiting) {
        match cache.look(id, now) {
            Lookup::Lead(flight, waiting) => (flight, waiting),
            _ => panic!("nobody else asks for it"),
        }
    }

    fn kept(cache: &Arc<Cache>, id: OpaqueId, now: Instant) -> Option<HeaderValue> {
        match cache.look(id, now) {
            Lookup::Kept(value) | Lookup::Aging(value, _) => Some(value),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_token_is_used_until_shortly_before_its_end() {
        let (cache, start) = (Cache::new(10), Instant::now());
        let (flight, waiting) = lead(&cache, id(1), start);
        flight.finish(token("one", 10 * SECOND), start);
        let value = HeaderValue::from_static("one");
        assert_eq!(waiting.verdict().await, Verdict::Token(value.clone()));
        assert_eq!(
            kept(&cache, id(1), start + 8 * SECOND),
            Some(value),
            "9 of 10 seconds"
        );
        assert_eq!(kept(&cache, id(1), start + 9 * SECOND), None);
    }

    #[test]
    fn a_token_that_ends_within_a_second_is_not_kept() {
        let (cache, start) = (Cache::new(10), Instant::now());
        lead(&cache, id(1), start)
            .0
            .finish(token("one", SECOND), start);
        assert_eq!(cache.len(), 0);
        assert!(matches!(cache.look(id(1), start), Lookup::Lead(..)));
    }

    #[test]
    fn one_request_refreshes_an_aging_token_and_the_others_use_it_meanwhile() {
        let (cache, start) = (Cache::new(10), Instant::now());
        lead(&cache, id(1), start)
            .0
            .finish(token("one", 100 * SECOND), start);
        let aging = start + 72 * SECOND;
        assert!(matches!(cache.look(id(1), aging - SECOND), Lookup::Kept(_)));
        let Lookup::Aging(_, refresh) = cache.look(id(1), aging) else {
            panic!("it is to be refreshed");
        };
        assert!(matches!(cache.look(id(1), aging), Lookup::Kept(_)));
        refresh.finish(Reply::Failed, aging);
        // The old one stays, and the next attempt comes a while later.
        assert!(kept(&cache, id(1), start + 89 * SECOND).is_some());
    }

    #[test]
    fn a_refresh_that_finds_the_session_ended_ends_its_token() {
        let (cache, start) = (Cache::new(10), Instant::now());
        lead(&cache, id(1), start)
            .0
            .finish(token("one", 100 * SECOND), start);
        let Lookup::Aging(_, refresh) = cache.look(id(1), start + 80 * SECOND) else {
            panic!("it is to be refreshed");
        };
        refresh.finish(Reply::Unknown, start);
        assert_eq!(cache.len(), 0);
    }

    #[tokio::test]
    async fn neither_unknown_nor_undecided_is_kept_but_all_who_wait_get_it() {
        for (reply, verdict) in [
            (Reply::Unknown, Verdict::Unknown),
            (Reply::Failed, Verdict::Undecided),
        ] {
            let (cache, now) = (Cache::new(10), Instant::now());
            let (flight, waiting) = lead(&cache, id(1), now);
            let Lookup::Join(joined) = cache.look(id(1), now) else {
                panic!("one exchange is on its way");
            };
            flight.finish(reply, now);
            assert_eq!(waiting.verdict().await, verdict);
            assert_eq!(joined.verdict().await, verdict);
            assert!(matches!(cache.look(id(1), now), Lookup::Lead(..)));
        }
    }

    #[tokio::test]
    async fn an_exchange_that_was_given_up_holds_up_nobody() {
        let (cache, now) = (Cache::new(10), Instant::now());
        let (flight, waiting) = lead(&cache, id(1), now);
        drop(flight);
        assert_eq!(waiting.verdict().await, Verdict::Undecided);
        assert!(matches!(cache.look(id(1), now), Lookup::Lead(..)));
    }

    #[test]
    fn the_least_lately_used_token_goes_first_and_the_bound_holds() {
        let (cache, now) = (Cache::new(2), Instant::now());
        for number in [1, 2] {
            lead(&cache, id(number), now)
                .0
                .finish(token("t", 100 * SECOND), now);
        }
        assert!(kept(&cache, id(1), now).is_some());
        lead(&cache, id(3), now)
            .0
            .finish(token("t", 100 * SECOND), now);
        assert_eq!(cache.len(), 2);
        assert!(kept(&cache, id(1), now).is_some());
        assert_eq!(kept(&cache, id(2), now), None);
    }

    /// `cargo test --release -p gateway --lib cache -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn what_a_look_costs_by_threads() {
        const LOOKS: u32 = 500_000;
        for threads in [1, 2, 4] {
            for parts in [1000, 10_000] {
                let (cache, now) = (Cache::new(parts), Instant::now());
                for number in 0..8 {
                    lead(&cache, id(number), now)
                        .0
                        .finish(token("t", 1000 * SECOND), now);
                }
                let begun = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for turn in 0..LOOKS {
                                let id = id(u8::try_from(turn % 8).unwrap());
                                assert!(kept(&cache, id, now).is_some());
                            }
                        });
                    }
                });
                let each = begun.elapsed() / LOOKS;
                eprintln!("{threads} threads, cache of {parts}: {each:?} each");
            }
        }
    }
}

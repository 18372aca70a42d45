//! Whose turn it is to have a password hashed.
//!
//! A run takes tens of milliseconds of a core, and anybody may ask for one. So those who wait are
//! served in turn by kind, and within a kind in turn by address: whoever asks often waits behind
//! their own requests and before nobody else's (start-time fair queueing: the n-th request of one
//! address stands in the n-th round). When all places are taken, the last one of the longest lane
//! gives way. So nobody who asks for little is sent away for the sake of one who asks for much.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::network::Network;
use tokio::sync::oneshot;

/// What a run is for. Each kind has the same share of the runs while others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A login from an address that the account was logged in from before.
    LoginAtKnownAddress,
    /// Any other login.
    Login,
    /// A new user.
    Registration,
}

const KINDS: usize = 3;

/// Who asks for a run, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// What for.
    pub kind: Kind,
    /// From where.
    pub network: Network,
}

/// The runs at a time and everybody who waits for one. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<Line>>);

/// A run may be made. Handed to the next when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Turns);

#[derive(Debug)]
struct Line {
    /// Runs that nobody makes. None while somebody waits.
    free: usize,
    /// How many may wait.
    places: usize,
    /// How many have ever waited: tells apart who stands in one round, in their order.
    entered: u64,
    lanes: [Lane; KINDS],
    /// The lane that had the last turn.
    served: usize,
}

/// Those who wait of one kind.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeMap<Place, Waiting>,
    /// The round of the last one who was served.
    round: u64,
}

/// The round that somebody stands in, and their number.
type Place = (u64, u64);

#[derive(Debug)]
struct Waiting {
    network: Network,
    turn: oneshot::Sender<Turn>,
}

impl Turns {
    /// So many runs at a time, and so many who may wait.
    pub(super) fn new(runs: usize, places: usize) -> Self {
        Self(Arc::new(Mutex::new(Line {
            free: runs,
            places,
            entered: 0,
            lanes: Default::default(),
            served: 0,
        })))
    }

    /// The next turn of the asker; `None` when too many wait.
    pub(super) async fn next(&self, asker: Asker) -> Option<Turn> {
        let (place, turn) = {
            let mut line = self.line();
            if line.free > 0 {
                line.free -= 1;
                return Some(Turn(self.clone()));
            }
            line.enter(asker)
        };
        let _leaves = Leaves {
            turns: self,
            kind: asker.kind,
            place,
        };
        turn.await.ok()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.line().waiting()
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.line().serve();
        if let Some(next) = next {
            // Who hangs up at this moment drops the turn, and so it comes here again.
            drop(next.send(Self(self.0.clone())));
        }
    }
}

/// Takes one who does not wait any more out of the line.
struct Leaves<'a> {
    turns: &'a Turns,
    kind: Kind,
    place: Place,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let lane = self.kind as usize;
        let left = self.turns.line().lanes[lane].waiting.remove(&self.place);
        // After the lock: there may be a turn in it.
        drop(left);
    }
}

impl Line {
    fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }

    /// Adds somebody, at the cost of whoever is last in the longest lane if there is no place left.
    fn enter(&mut self, asker: Asker) -> (Place, oneshot::Receiver<Turn>) {
        let Asker { kind, network } = asker;
        let (turn, receiver) = oneshot::channel();
        self.entered += 1;
        let lane = &mut self.lanes[kind as usize];
        let mut of_one = lane.waiting.iter().rev();
        let last = of_one.find(|(_, waiting)| waiting.network == network);
        let behind = last.map_or(0, |((round, _), _)| round + 1);
        let place = (behind.max(lane.round), self.entered);
        lane.waiting.insert(place, Waiting { network, turn });
        if self.waiting() > self.places {
            let lanes = self.lanes.iter_mut();
            // The sender is dropped, which tells them.
            lanes
                .max_by_key(|lane| lane.waiting.len())
                .and_then(|lane| lane.waiting.pop_last());
        }
        (place, receiver)
    }

    /// Whose turn it is now; without anybody, a run is free.
    fn serve(&mut self) -> Option<oneshot::Sender<Turn>> {
        for _ in 0..KINDS {
            self.served = (self.served + 1) % KINDS;
            let lane = &mut self.lanes[self.served];
            if let Some(((round, _), waiting)) = lane.waiting.pop_first() {
                lane.round = round;
                return Some(waiting.turn);
            }
        }
        self.free += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, pin::Pin};

    use proptest::prelude::*;

    use super::*;

    type Waiter<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>;

    fn asker(kind: Kind, host: u8) -> Asker {
        Asker {
            kind,
            network: IpAddr::from([192, 0, 2, host]).into(),
        }
    }

    /// Somebody who has asked and waits.
    fn waits(turns: &Turns, kind: Kind, host: u8) -> Waiter<'_> {
        let mut waiter: Waiter<'_> = Box::pin(turns.next(asker(kind, host)));
        assert!(poll(&mut waiter).is_none(), "it waits");
        waiter
    }

    /// `None` while it waits, otherwise whether it got a turn, which it keeps.
    fn poll(waiter: &mut Waiter<'_>) -> Option<Option<Turn>> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match waiter.as_mut().poll(&mut context) {
            std::task::Poll::Ready(turn) => Some(turn),
            std::task::Poll::Pending => None,
        }
    }

    /// One run, which is being made, and so many places.
    async fn busy(places: usize) -> (Turns, Turn) {
        let turns = Turns::new(1, places);
        let running = turns.next(asker(Kind::Login, 1)).await.unwrap();
        (turns, running)
    }

    /// The indices of the waiters in the order in which they are served.
    fn order(running: Turn, mut waiters: Vec<Option<Waiter<'_>>>) -> Vec<usize> {
        let mut order = Vec::new();
        let mut running = Some(running);
        while running.take().is_some() {
            for (index, waiter) in waiters.iter_mut().enumerate() {
                if let Some(Some(turn)) = waiter.as_mut().and_then(poll) {
                    *waiter = None;
                    order.push(index);
                    running = Some(turn);
                    break;
                }
            }
        }
        order
    }

    #[tokio::test]
    async fn one_who_asks_once_waits_for_one_turn_of_one_who_asks_often() {
        let (turns, running) = busy(10).await;
        let mut waiters: Vec<_> = (0..6).map(|_| waits(&turns, Kind::Login, 1)).collect();
        waiters.push(waits(&turns, Kind::Login, 2));
        waiters.push(waits(&turns, Kind::Login, 2));
        let order = order(running, waiters.into_iter().map(Some).collect());
        assert_eq!(order, [0, 6, 1, 7, 2, 3, 4, 5]);
        assert_eq!(turns.line().free, 1, "and nobody has a turn at the end");
    }

    #[tokio::test]
    async fn kinds_are_served_in_turn() {
        let (turns, running) = busy(10).await;
        let mut waiters: Vec<_> = (0..4)
            .map(|host| waits(&turns, Kind::Registration, host))
            .collect();
        waiters.push(waits(&turns, Kind::Login, 5));
        waiters.push(waits(&turns, Kind::Login, 6));
        waiters.push(waits(&turns, Kind::LoginAtKnownAddress, 7));
        let order = order(running, waiters.into_iter().map(Some).collect());
        assert_eq!(order, [4, 0, 6, 5, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_full_line_sends_away_who_asks_for_much() {
        let (turns, running) = busy(3).await;
        let mut much: Vec<_> = (0..3)
            .map(|_| waits(&turns, Kind::Registration, 1))
            .collect();
        let mut same = Box::pin(turns.next(asker(Kind::Registration, 1))) as Waiter<'_>;
        assert!(matches!(poll(&mut same), Some(None)), "the fourth");
        let other = waits(&turns, Kind::Registration, 2);
        let login = waits(&turns, Kind::Login, 3);
        for index in [1, 2] {
            assert!(matches!(poll(&mut much[index]), Some(None)), "{index}");
        }
        let first = much.swap_remove(0);
        assert_eq!(
            order(running, vec![Some(first), Some(other), Some(login)]),
            [2, 0, 1]
        );
    }

    #[tokio::test]
    async fn who_hangs_up_leaves_the_line_and_keeps_no_turn() {
        let (turns, running) = busy(2).await;
        let gone = waits(&turns, Kind::Login, 1);
        let last = waits(&turns, Kind::Login, 2);
        drop(gone);
        assert_eq!(turns.waiting(), 1);
        // Served, and gone before they could know.
        drop(running);
        drop(last);
        assert_eq!((turns.waiting(), turns.line().free), (0, 1));
    }

    proptest! {
        #[test]
        fn no_turn_is_lost_and_no_more_wait_than_may(
            steps in prop::collection::vec((0..3_u8, 0..4_u8, 0..4_u8), 0..80)
        ) {
            let turns = Turns::new(2, 5);
            let (mut waiters, mut running): (Vec<Waiter<'_>>, Vec<Turn>) = Default::default();
            for (kind, host, step) in steps {
                let kind = [Kind::LoginAtKnownAddress, Kind::Login, Kind::Registration][usize::from(kind)];
                match step {
                    0 => drop(running.pop()),
                    1 => drop(waiters.pop()),
                    _ => waiters.push(Box::pin(turns.next(asker(kind, host)))),
                }
                // Once more, for those whom the last one sent away.
                for _ in 0..2 {
                    waiters.retain_mut(|waiter| match poll(waiter) {
                        None => true,
                        Some(turn) => { running.extend(turn); false }
                    });
                }
                prop_assert!(turns.waiting() == waiters.len() && waiters.len() <= 5);
                prop_assert_eq!(turns.line().free + running.len(), 2);
                prop_assert!(turns.line().free == 0 || waiters.is_empty());
            }
        }
    }
}

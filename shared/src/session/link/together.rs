//! Several connections that are one to who watches: what is kept in memory is believed while all nodes of
//! a cluster vouch for it, and goes when one of them is lost or found, or when others come into charge.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::watched::Watcher;
use crate::session::redis_url::Node;

/// The connections of all nodes.
pub(super) struct Together {
    watcher: Arc<dyn Watcher>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that must vouch.
    expected: Vec<Node>,
    /// Those over whose connection Redis tells what changes.
    connected: Vec<Node>,
    /// How often all have been connected.
    generation: u64,
    is_whole: bool,
}

impl Together {
    pub(super) fn new(watcher: Arc<dyn Watcher>) -> Arc<Self> {
        Arc::new(Self {
            watcher,
            state: Mutex::default(),
        })
    }

    /// Has the connection of a node watched.
    pub(super) fn watch(self: &Arc<Self>, node: &Node) -> Arc<dyn Watcher> {
        // One that it may have had is given up.
        self.lost(node);
        Arc::new(OfNode {
            all: Arc::clone(self),
            node: node.clone(),
        })
    }

    /// These nodes are asked for sessions from now on.
    pub(super) fn expect(&self, nodes: Vec<Node>) {
        let mut state = self.state();
        if state.expected != nodes {
            self.end(&mut state);
            state.expected = nodes;
            self.begin(&mut state);
        }
    }

    fn connected(&self, node: &Node) {
        let mut state = self.state();
        self.end(&mut state);
        if !state.connected.contains(node) {
            state.connected.push(node.clone());
        }
        self.begin(&mut state);
    }

    fn lost(&self, node: &Node) {
        let mut state = self.state();
        let before = state.connected.len();
        state.connected.retain(|known| known != node);
        if state.connected.len() < before && state.expected.contains(node) {
            self.end(&mut state);
        }
    }

    /// Nothing that is known is vouched for any more.
    fn end(&self, state: &mut State) {
        if std::mem::take(&mut state.is_whole) {
            self.watcher.lost(state.generation);
        }
    }

    fn begin(&self, state: &mut State) {
        let mut expected = state.expected.iter();
        let all = expected.all(|node| state.connected.contains(node));
        if all && !state.expected.is_empty() && !state.is_whole {
            state.is_whole = true;
            state.generation += 1;
            self.watcher.connected(state.generation);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of the connection of one node.
struct OfNode {
    all: Arc<Together>,
    node: Node,
}

impl Watcher for OfNode {
    fn connected(&self, _: u64) {
        self.all.connected(&self.node);
    }

    fn invalidated(&self, key: Option<&[u8]>) {
        self.all.watcher.invalidated(key);
    }

    fn lost(&self, _: u64) {
        self.all.lost(&self.node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a watcher was told: a connection stands, or is lost.
    #[derive(Default)]
    struct Told(Mutex<Vec<(&'static str, u64)>>);

    impl Told {
        fn all(&self) -> Vec<(&'static str, u64)> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl Watcher for Told {
        fn connected(&self, generation: u64) {
            self.0.lock().unwrap().push(("connected", generation));
        }

        fn invalidated(&self, _: Option<&[u8]>) {
            self.0.lock().unwrap().push(("invalidated", 0));
        }

        fn lost(&self, generation: u64) {
            self.0.lock().unwrap().push(("lost", generation));
        }
    }

    fn node(port: u16) -> Node {
        Node {
            host: "h".to_owned(),
            port,
        }
    }

    #[test]
    fn nodes_vouch_together_and_not_while_one_is_away() {
        let told = Arc::new(Told::default());
        let all = Together::new(Arc::clone(&told) as _);
        let [one, other] = [1, 2].map(|port| all.watch(&node(port)));
        one.connected(7);
        assert_eq!(told.all(), [], "nobody is expected yet");
        all.expect(vec![node(1), node(2)]);
        assert_eq!(told.all(), []);
        other.connected(3);
        assert_eq!(told.all(), [("connected", 1)]);
        one.invalidated(Some(b"key"));
        assert_eq!(told.all(), [("invalidated", 0)]);
        one.lost(7);
        other.lost(3);
        assert_eq!(told.all(), [("lost", 1)], "once");
        other.connected(4);
        one.connected(8);
        assert_eq!(told.all(), [("connected", 2)]);
        all.expect(vec![node(1), node(2)]);
        assert_eq!(told.all(), [], "nothing has changed");
    }

    #[test]
    fn what_is_known_goes_when_others_come_into_charge_and_when_a_link_is_made_anew() {
        let told = Arc::new(Told::default());
        let all = Together::new(Arc::clone(&told) as _);
        let [one, other] = [1, 2].map(|port| all.watch(&node(port)));
        all.expect(vec![node(1)]);
        one.connected(1);
        other.connected(1);
        assert_eq!(
            told.all(),
            [("connected", 1), ("lost", 1), ("connected", 2)]
        );
        all.expect(vec![node(1), node(2)]);
        assert_eq!(told.all(), [("lost", 2), ("connected", 3)]);
        all.expect(vec![node(2)]);
        assert_eq!(told.all(), [("lost", 3), ("connected", 4)]);
        one.lost(1);
        assert_eq!(told.all(), [], "it vouches for nothing");
        let again = all.watch(&node(2));
        assert_eq!(told.all(), [("lost", 4)]);
        again.connected(1);
        assert_eq!(told.all(), [("connected", 5)]);
    }
}

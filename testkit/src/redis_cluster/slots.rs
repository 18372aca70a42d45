//! Which node is in charge of what, and having another one be.

use super::{RedisCluster, Reply};

#[expect(
    clippy::expect_used,
    reason = "without the cluster that a test asked for it has failed"
)]
impl RedisCluster {
    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        match self.ask(self.a_living(), &["CLUSTER", "KEYSLOT", key]) {
            Reply::Number(slot) => u16::try_from(slot).expect("a slot"),
            other => panic!("{other:?}"),
        }
    }

    /// Who is in charge of a slot, as a node that lives tells.
    pub fn primary_of(&self, slot: u16) -> Option<usize> {
        let Reply::List(ranges) = self.ask(self.a_living(), &["CLUSTER", "SLOTS"]) else {
            return None;
        };
        ranges.iter().find_map(|range| {
            let Reply::List(parts) = range else {
                return None;
            };
            let [
                Reply::Number(first),
                Reply::Number(last),
                Reply::List(node),
                ..,
            ] = parts.as_slice()
            else {
                return None;
            };
            let Reply::Number(port) = node.get(1)? else {
                return None;
            };
            (*first..=*last).contains(&i64::from(slot)).then_some(())?;
            self.nodes
                .iter()
                .position(|node| i64::from(node.ports.plain) == *port)
        })
    }

    /// Begins to move a slot: new keys of it are made at the node `to`.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let (source, target) = (&self.nodes[from].id, &self.nodes[to].id);
        self.ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", source]);
        self.ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", target]);
    }

    /// Moves the keys of a slot, all or so many.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, most: Option<usize>) -> usize {
        let (slot, port) = (slot.to_string(), self.nodes[to].ports.plain.to_string());
        let mut moved = 0;
        while most.is_none_or(|most| moved < most) {
            let keys = self.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
            let [key] = keys.texts()[..] else {
                break;
            };
            self.ask(from, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            moved += 1;
        }
        moved
    }

    /// Has everybody know that a slot was moved.
    pub fn end_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        for node in [to, from] {
            self.ask(
                node,
                &["CLUSTER", "SETSLOT", &slot, "NODE", &self.nodes[to].id],
            );
        }
    }
}

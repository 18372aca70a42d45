//! The logins of this process whose outcome is not known yet, by the budgets that they may take from.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

/// The logins under way for each budget, in the order in which they began. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Logins>);

#[derive(Debug, Default)]
struct Logins {
    order: Mutex<Order>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Order {
    /// How many have ever begun.
    begun: u64,
    /// As many entries as logins under way have budgets.
    of_budgets: HashMap<String, BTreeSet<u64>>,
}

/// One login under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Login {
    under_way: UnderWay,
    keys: Vec<String>,
    number: u64,
}

impl UnderWay {
    /// A login that may take from these budgets is under way. Who waits for others waits for those
    /// that began before, so that the first of all never waits.
    pub(super) fn begin(&self, keys: Vec<String>) -> Login {
        let mut order = self.order();
        order.begun += 1;
        let number = order.begun;
        for key in &keys {
            let of_budget = order.of_budgets.entry(key.clone()).or_default();
            of_budget.insert(number);
        }
        Login {
            under_way: self.clone(),
            keys,
            number,
        }
    }

    /// The next end of a login, from now on and not from when it is awaited.
    pub(super) fn ended(&self) -> Notified<'_> {
        self.0.ended.notified()
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    /// How many that began before it are under way now, in the order of its keys.
    pub(super) fn before(&self) -> Vec<u64> {
        let order = self.under_way.order();
        let before = |key| order.of_budgets[key].range(..self.number).map(|_| 1).sum();
        self.keys.iter().map(before).collect()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let mut order = self.under_way.order();
        for key in &self.keys {
            if let Some(of_budget) = order.of_budgets.get_mut(key) {
                of_budget.remove(&self.number);
                if of_budget.is_empty() {
                    order.of_budgets.remove(key);
                }
            }
        }
        drop(order);
        self.under_way.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_login_counts_for_later_ones_until_it_ends_and_leaves_nothing() {
        let under_way = UnderWay::default();
        let keys = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let first = under_way.begin(keys(["a", "b"]));
        let second = under_way.begin(keys(["a", "c"]));
        let third = under_way.begin(keys(["a", "b"]));
        assert_eq!(first.before(), [0, 0]);
        assert_eq!(second.before(), [1, 0]);
        assert_eq!(third.before(), [2, 1]);
        let ended = under_way.ended();
        drop(first);
        ended.await;
        assert_eq!(second.before(), [0, 0], "the first of all never waits");
        assert_eq!(third.before(), [1, 0]);
        drop((second, third));
        assert!(under_way.order().of_budgets.is_empty());
    }
}

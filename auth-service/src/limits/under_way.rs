//! The logins of this process whose outcome is not known yet, by the budgets that they may take from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

/// How many logins are under way for each budget. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Logins>);

#[derive(Debug, Default)]
struct Logins {
    /// As many entries as logins under way have budgets.
    counts: Mutex<HashMap<String, u64>>,
    ended: Notify,
}

/// One login under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Login {
    under_way: UnderWay,
    keys: Vec<String>,
    /// How many began before it, in the order of the keys.
    before: Vec<u64>,
}

impl UnderWay {
    /// A login that may take from these budgets is under way.
    pub(super) fn begin(&self, keys: Vec<String>) -> Login {
        let mut counts = self.counts();
        let mut add = |key: &String| {
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let before = keys.iter().map(&mut add).collect();
        Login {
            under_way: self.clone(),
            keys,
            before,
        }
    }

    /// The next end of a login, from now on and not from when it is awaited.
    pub(super) fn ended(&self) -> Notified<'_> {
        self.0.ended.notified()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, keys: &[String]) {
        let mut counts = self.counts();
        for key in keys {
            if let Some(count) = counts.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
    }
}

impl Login {
    /// How many that began before it were under way then, in the order of the keys.
    pub(super) fn before(&self) -> &[u64] {
        &self.before
    }

    /// It waits for those before it. Nobody is told: whoever waits for this one waits for those too.
    pub(super) fn withdraw(mut self) {
        self.under_way.remove(&std::mem::take(&mut self.keys));
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.under_way.remove(&self.keys);
            self.under_way.0.ended.notify_waiters();
        }
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
        third.withdraw();
        drop(first);
        ended.await;
        let fourth = under_way.begin(keys(["a", "b"]));
        assert_eq!(fourth.before(), [1, 0]);
        drop((second, fourth));
        assert!(under_way.counts().is_empty());
    }
}

//! Two random choices by load (Mitzenmacher): nearly as even as asking all, at the price of two.

use std::{cell::Cell, sync::Arc};

use shared::clock::Clock;

use super::{health::State, pool::Endpoint};

/// A small random number generator for one thread; its numbers protect nothing.
#[derive(Debug)]
pub(crate) struct Dice(Cell<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero would stay zero for ever.
        Self(Cell::new(seed | 1))
    }

    /// A number below `bound`, by xorshift (Marsaglia 2003) and a widening multiplication.
    fn below(&self, bound: usize) -> usize {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        usize::try_from((u128::from(state) * bound as u128) >> 64).unwrap_or_default()
    }
}

/// Which members may be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Ids of members that this request has failed at.
    pub(crate) tried: &'a [u64],
    /// One of `tried` will do when there is no other.
    pub(crate) again: bool,
}

/// Chooses a member: among the healthy ones if there are any, then among those that are ending, then
/// among those that are not ready, then among the ejected. So when none is healthy all are used: the
/// cause is then probably something behind them, and their own answer says more than ours could.
pub(crate) fn choose<'a>(
    members: &'a [Arc<Endpoint>],
    wanted: Wanted<'_>,
    clock: &Clock,
    dice: &Dice,
) -> Option<&'a Arc<Endpoint>> {
    if let [_, _, ..] = members {
        let (one, two) = pair(members, dice);
        if wanted.tried.is_empty()
            && one.health.state(clock) == State::Healthy
            && two.health.state(clock) == State::Healthy
        {
            return Some(less_loaded(one, two));
        }
    }
    let rank = |member: &Endpoint| {
        let tried = wanted.tried.contains(&member.id);
        (tried, member.health.state(clock))
    };
    let best = members.iter().map(|member| rank(member)).min()?;
    if best.0 && !wanted.again {
        return None;
    }
    let candidates: Vec<&Arc<Endpoint>> = members
        .iter()
        .filter(|member| rank(member) == best)
        .collect();
    match candidates.as_slice() {
        // A member's state changed between the two looks: any will do.
        [] => members.first(),
        [only] => Some(only),
        many => {
            let (one, two) = pair(many, dice);
            Some(less_loaded(one, two))
        }
    }
}

/// Two different ones of at least two.
fn pair<'a, T>(items: &'a [T], dice: &Dice) -> (&'a T, &'a T) {
    let first = dice.below(items.len());
    let second = (first + 1 + dice.below(items.len() - 1)) % items.len();
    (&items[first], &items[second])
}

fn less_loaded<'a>(one: &'a Arc<Endpoint>, two: &'a Arc<Endpoint>) -> &'a Arc<Endpoint> {
    if two.in_flight() < one.in_flight() {
        two
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::upstream::{
        health::{Fault, Readiness},
        pool::InFlight,
    };

    const ANY: Wanted<'_> = Wanted {
        tried: &[],
        again: false,
    };

    fn members(count: u16) -> Vec<Arc<Endpoint>> {
        (0..count)
            .map(|port| {
                let endpoint = Endpoint::new(([127, 0, 0, 1], port + 1).into());
                endpoint.health.checked(Readiness::Ready);
                Arc::new(endpoint)
            })
            .collect()
    }

    #[test]
    fn nobody_is_chosen_from_nobody() {
        assert!(choose(&[], ANY, &Clock::system(), &Dice::new(1)).is_none());
    }

    #[test]
    fn load_is_spread_within_one_of_the_even_share_for_held_requests() {
        let members = members(5);
        let dice = Dice::new(7);
        let held: Vec<InFlight> = (0..500)
            .map(|_| {
                let chosen = choose(&members, ANY, &Clock::system(), &dice).unwrap();
                InFlight::new(Arc::clone(chosen))
            })
            .collect();
        for member in &members {
            assert!(
                (98..=102).contains(&member.in_flight()),
                "{}",
                member.in_flight()
            );
        }
        drop(held);
        assert!(members.iter().all(|member| member.in_flight() == 0));
    }

    #[test]
    fn when_all_are_unready_all_are_used_but_the_ejected_come_last() {
        let members = members(3);
        for member in &members {
            member.health.checked(Readiness::NotReady);
        }
        let clock = Clock::manual(std::time::SystemTime::UNIX_EPOCH);
        members[0].health.failed(Fault::Refused, &clock);
        let dice = Dice::new(3);
        let mut count: HashMap<u64, u32> = HashMap::new();
        for _ in 0..100 {
            *count
                .entry(choose(&members, ANY, &clock, &dice).unwrap().id)
                .or_default() += 1;
        }
        assert!(!count.contains_key(&members[0].id));
        assert!(
            count[&members[1].id] > 20 && count[&members[2].id] > 20,
            "{count:?}"
        );
    }

    #[test]
    fn who_is_ending_is_used_when_nobody_is_healthy_and_before_who_is_not_ready() {
        let members = members(3);
        let (clock, dice) = (Clock::system(), Dice::new(5));
        let chosen = |member: &Arc<Endpoint>| {
            (0..100).all(|_| choose(&members, ANY, &clock, &dice).unwrap().id == member.id)
        };
        members[0].health.checked(Readiness::NotReady);
        members[1].health.checked(Readiness::Ending);
        assert!(chosen(&members[2]));
        members[2].health.checked(Readiness::NotReady);
        assert!(chosen(&members[1]));
    }

    proptest! {
        #[test]
        fn a_healthy_member_that_was_not_tried_wins_when_there_is_one(
            good in prop::collection::vec(any::<bool>(), 1..8),
            tried in prop::collection::vec(any::<bool>(), 8),
            seed in any::<u64>(),
        ) {
            let members = members(u16::try_from(good.len()).unwrap());
            for (member, good) in members.iter().zip(&good) {
                let said = if *good { Readiness::Ready } else { Readiness::NotReady };
                member.health.checked(said);
            }
            let ids: Vec<u64> = members
                .iter()
                .zip(&tried)
                .filter(|(_, tried)| **tried)
                .map(|(member, _)| member.id)
                .collect();
            let wanted = Wanted { tried: &ids, again: false };
            let clock = Clock::system();
            let chosen = choose(&members, wanted, &clock, &Dice::new(seed));
            let best = members.iter().any(|member| {
                !ids.contains(&member.id) && member.health.state(&clock) == State::Healthy
            });
            match chosen {
                None => prop_assert!(members.iter().all(|member| ids.contains(&member.id))),
                Some(chosen) => {
                    prop_assert!(!ids.contains(&chosen.id));
                    prop_assert_eq!(chosen.health.state(&clock) == State::Healthy, best);
                }
            }
        }
    }
}

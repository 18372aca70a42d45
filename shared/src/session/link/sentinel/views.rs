//! What each sentinel said last, and what follows from all of it.
//!
//! The sentinels number their configurations, and a failover makes one with a higher number, which all
//! of them hear of from each other. So of what they say the highest number is right, and one that
//! lags or was cut off leads nobody back to a primary that was replaced.
//!
//! Without a majority nobody knows: the primary that this process still reaches may be cut off
//! together with it, while the others promoted another one and sessions end there. What was said
//! [`BELIEVED_FOR`] ago is therefore not believed, and without a majority there is no primary.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use crate::session::{link::fault::Fault, redis_url::Node};

/// How long an answer of a sentinel is believed, from when it was asked for.
pub(super) const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// Where the primary is, or why that is not known; `None` until enough sentinels were asked.
pub(in crate::session::link) type Located = Option<Result<CurrentPrimary, Fault>>;

/// The primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session::link) struct CurrentPrimary {
    /// Where it is.
    pub(in crate::session::link) node: Node,
    /// Whether a sentinel is promoting a replica, which may have its last writes from this one
    /// already.
    pub(in crate::session::link) is_being_replaced: bool,
}

/// What is known of one sentinel.
#[derive(Clone, Default)]
pub(super) struct View {
    /// Its last answer.
    pub(super) said: Option<Said>,
    /// Why it has not answered since.
    pub(super) fault: Option<Fault>,
}

/// An answer.
#[derive(Clone)]
pub(super) struct Said {
    /// When it was asked for.
    pub(super) asked: Instant,
    /// `None`: it does not know the name.
    pub(super) primary: Option<Primary>,
}

/// The primary in the configuration of a sentinel.
#[derive(Clone)]
pub(super) struct Primary {
    pub(super) node: Node,
    /// The number of the configuration.
    pub(super) epoch: u64,
    /// Whether the sentinel leads a failover and has not seen that a replica was promoted.
    pub(super) is_being_replaced: bool,
}

/// What follows from the views.
pub(super) struct Finding {
    pub(super) located: Located,
    /// How long that holds if nothing more is heard.
    pub(super) holds: Duration,
}

/// Finds the primary.
pub(super) fn judge(views: &[View], now: Instant) -> Finding {
    let age = |said: &Said| now.saturating_duration_since(said.asked);
    let answers = views.iter().filter_map(|view| view.said.as_ref());
    let mut believed: Vec<_> = answers.filter(|said| age(said) < BELIEVED_FOR).collect();
    believed.sort_by_key(|said| Reverse(said.asked));
    let needed = views.len() / 2 + 1;
    let Some(oldest_needed) = believed.get(needed - 1) else {
        let is_open = |view: &View| view.said.is_none() && view.fault.is_none();
        return Finding {
            located: (!views.iter().any(is_open)).then(|| Err(too_few(views, believed.len()))),
            holds: BELIEVED_FOR,
        };
    };
    // The newest of equals comes last.
    let named = || {
        believed
            .iter()
            .rev()
            .filter_map(|said| said.primary.as_ref())
    };
    let primary = named().max_by_key(|primary| primary.epoch);
    Finding {
        located: Some(match primary {
            Some(primary) => Ok(CurrentPrimary {
                node: primary.node.clone(),
                // Only the sentinel that leads the failover knows.
                is_being_replaced: named()
                    .any(|named| named.is_being_replaced && named.node == primary.node),
            }),
            None => Err(Fault::of_sentinels(
                "its sentinels know no primary of the name in the URL".to_owned(),
                true,
            )),
        }),
        holds: BELIEVED_FOR.saturating_sub(age(oldest_needed)),
    }
}

fn too_few(views: &[View], believed: usize) -> Fault {
    let faults = || views.iter().filter_map(|view| view.fault.as_ref());
    let reason = faults().next().map(ToString::to_string);
    Fault::of_sentinels(
        format!(
            "{believed} of its {} sentinels answered in the last {} s, and more than half must, \
             or which server is the primary is not known; of one that did not: {}",
            views.len(),
            BELIEVED_FOR.as_secs(),
            reason.as_deref().unwrap_or("it does not answer in time"),
        ),
        faults().count() > 0 && faults().all(Fault::is_lasting),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(host: &str) -> Node {
        Node {
            host: host.to_owned(),
            port: 6379,
        }
    }

    /// A sentinel that was asked so many seconds before `now`.
    fn says(now: Instant, ago: u64, host: &str, epoch: u64) -> View {
        View {
            said: Some(Said {
                asked: now.checked_sub(Duration::from_secs(ago)).unwrap(),
                primary: Some(Primary {
                    node: node(host),
                    epoch,
                    is_being_replaced: false,
                }),
            }),
            fault: None,
        }
    }

    fn silent() -> View {
        View {
            said: None,
            fault: Some(Fault::SILENT),
        }
    }

    fn now() -> Instant {
        // So that something can have been before.
        Instant::now() + Duration::from_secs(3_600)
    }

    fn found(views: &[View], now: Instant) -> Option<String> {
        let located = judge(views, now).located;
        located
            .and_then(Result::ok)
            .map(|current| current.node.host)
    }

    #[test]
    fn the_latest_configuration_wins_however_many_have_not_heard_of_it() {
        let now = now();
        let views = [
            says(now, 1, "old", 1),
            says(now, 0, "new", 2),
            says(now, 0, "old", 1),
        ];
        assert_eq!(found(&views, now).as_deref(), Some("new"));
    }

    #[test]
    fn a_minority_decides_nothing_and_does_not_keep_anybody_waiting() {
        let now = now();
        let undecided = [says(now, 0, "a", 1), View::default(), View::default()];
        assert_eq!(
            judge(&undecided, now).located,
            None,
            "others may answer yet"
        );
        let cut_off = [says(now, 0, "a", 1), silent(), silent()];
        let fault = judge(&cut_off, now).located.unwrap().unwrap_err();
        assert!(
            fault.to_string().contains("1 of its 3 sentinels"),
            "{fault}"
        );
        assert!(!fault.is_lasting());
        let enough = [says(now, 0, "a", 1), says(now, 0, "a", 1), View::default()];
        assert_eq!(found(&enough, now).as_deref(), Some("a"), "no need to wait");
    }

    #[test]
    fn what_was_said_long_ago_is_not_believed() {
        let now = now();
        let mut views = [says(now, 4, "a", 1), says(now, 3, "a", 1), silent()];
        let finding = judge(&views, now);
        assert_eq!(finding.located.unwrap().unwrap().node, node("a"));
        assert_eq!(finding.holds, Duration::from_secs(1));
        views[0] = says(now, 5, "a", 1);
        assert_eq!(found(&views, now), None);
        // Nor does a majority of old answers outdo those of now.
        let renewed = [
            says(now, 9, "a", 9),
            says(now, 0, "b", 1),
            says(now, 0, "b", 1),
        ];
        assert_eq!(found(&renewed, now).as_deref(), Some("b"));
    }

    #[test]
    fn one_sentinel_that_promotes_a_replica_is_enough_until_it_has_done_so() {
        let now = now();
        let mut views = [says(now, 0, "old", 1), says(now, 0, "old", 1), silent()];
        let is_being_replaced = |views: &[View]| {
            let current = judge(views, now).located.unwrap().unwrap();
            current.is_being_replaced
        };
        assert!(!is_being_replaced(&views));
        let leader = views[1].said.as_mut().unwrap().primary.as_mut().unwrap();
        leader.is_being_replaced = true;
        assert!(is_being_replaced(&views));
        views[0] = says(now, 0, "new", 2);
        assert!(!is_being_replaced(&views), "it is another one by now");
    }

    #[test]
    fn a_name_that_no_sentinel_knows_is_a_setting_to_change() {
        let now = now();
        let mut views = [says(now, 0, "a", 1), says(now, 0, "a", 1), silent()];
        for view in &mut views[..2] {
            view.said.as_mut().unwrap().primary = None;
        }
        let fault = judge(&views, now).located.unwrap().unwrap_err();
        assert!(
            fault.is_lasting() && fault.to_string().contains("name in the URL"),
            "{fault}"
        );
    }

    proptest! {
        #[test]
        fn a_primary_is_named_by_a_majority_and_by_the_highest_epoch_of_it(
            said in prop::collection::vec(prop::option::of((0..8_u64, 0..4_u64)), 1..8),
        ) {
            let now = now();
            let view = |said: &Option<(u64, u64)>| match said {
                Some((ago, epoch)) => says(now, *ago, &epoch.to_string(), *epoch),
                None => silent(),
            };
            let views: Vec<_> = said.iter().map(view).collect();
            let fresh: Vec<_> = said.iter().flatten().filter(|(ago, _)| *ago < 5).collect();
            let wanted = fresh.iter().map(|(_, epoch)| *epoch).max();
            let wanted = wanted.filter(|_| fresh.len() * 2 > said.len());
            prop_assert_eq!(found(&views, now), wanted.map(|epoch| epoch.to_string()));
        }
    }
}

//! Whose a control group or a folder is: its name says which process made it, so that others know when that has
//! ended.

use std::sync::atomic::{AtomicU32, Ordering};

use procfs::process::Process;

/// Begins the name of everything that this program makes, and of nothing that a person would call so: a folder of
/// results may be `statewise-2026-11-28`.
const PREFIX: &str = "statewise-of";

/// This process, and which of what it makes.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pid: u32,
    /// A process id is given again, and together with this moment never.
    started: u64,
    serial: u32,
}

impl Owner {
    pub(super) fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        Self {
            pid,
            started: started(pid).unwrap_or_default(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The name of what it makes for a purpose, such as a process.
    pub(super) fn name(&self, purpose: &str) -> String {
        let Self {
            pid,
            started,
            serial,
        } = self;
        format!("{PREFIX}-{pid}-{started}-{serial}-{purpose}")
    }
}

/// Whether something of this name was made by a process that has ended.
pub(super) fn is_leftover(name: &str) -> bool {
    let Some(owner) = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    let mut parts = owner.split('-');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (Some(pid), Some(since)) = (number(), number()) else {
        return false;
    };
    let now = u32::try_from(pid).ok().and_then(started);
    now != Some(since)
}

/// When a process began, in ticks since the machine's start; `None` when there is none of this id.
fn started(pid: u32) -> Option<u64> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    process.stat().ok().map(|stat| stat.starttime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_process_made_is_no_leftover_and_what_another_of_its_id_made_is_one() {
        let owner = Owner::new();
        assert!(!is_leftover(&owner.name("api-jwt-1")));
        let earlier = Owner {
            started: owner.started - 1,
            ..owner
        };
        assert!(is_leftover(&earlier.name("redis")));
        assert!(is_leftover(&format!("{PREFIX}-{}-5-0-redis", u32::MAX)));
    }

    #[test]
    fn what_others_made_is_no_leftover() {
        for name in [
            "docker",
            "statewise",
            "statewise-2026-11-28",
            "statewise-of-x-1-2-y",
            "statewise-office-1-2-y",
            "system.slice",
        ] {
            assert!(!is_leftover(name), "{name}");
        }
    }

    #[test]
    fn two_owners_in_one_process_do_not_meet() {
        assert_ne!(Owner::new().name("redis"), Owner::new().name("redis"));
    }
}

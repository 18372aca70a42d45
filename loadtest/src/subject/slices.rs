//! A share of a processor for each process: with it, a machine of two cores is a small cluster whose
//! members cannot take each other's time.
//!
//! The limit is the kernel's bandwidth control: in each *period*, the threads of a process may run for
//! its *quota*, and are then held back (*throttled*) until the next period begins. It is set through
//! control groups, of version 2 (`cpu.max`) or 1 (`cpu.cfs_quota_us`), or by systemd for a user who has
//! no right to them. Quotas that are not used are not saved (burst 0).
//!
//! Everything is undone when [`Slices`] is dropped. A group whose owner was killed limits nobody, since
//! the processes of a stack end with it; the next [`Slices::prepare`] removes it.

mod error;
mod group;
mod systemd;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

pub use super::cgroup::Throttling;
use super::{
    cgroup::{self, Version},
    owner::Owner,
};
pub use error::SliceError;
use group::Group;
use systemd::Scope;

/// The period where the quota is long enough in it.
const PERIOD: Duration = Duration::from_millis(40);
/// A shorter quota measures what waking up costs: the kernel hands time out, and looks whether it is
/// used up, in steps of a millisecond or more.
const SHORTEST_QUOTA: Duration = Duration::from_millis(2);
/// The kernel takes none that is longer.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);

/// How much of the processors' time a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuLimit {
    quota: Duration,
    period: Duration,
}

impl CpuLimit {
    /// So many processors, such as 0.05: a share of each 40 ms, or 2 ms of a longer period where that share
    /// would be shorter.
    ///
    /// # Errors
    ///
    /// It is less than 0.002 or more than 1,000 processors.
    pub fn of(cores: f64) -> Result<Self, SliceError> {
        let least = SHORTEST_QUOTA.as_secs_f64() / LONGEST_PERIOD.as_secs_f64();
        if !(least..=1e3).contains(&cores) {
            return Err(SliceError::Cores { cores, least });
        }
        // In whole microseconds, as the kernel takes them.
        let micros = |seconds: f64| Duration::from_micros((seconds * 1e6).round() as u64);
        let share = micros(PERIOD.as_secs_f64() * cores);
        Ok(if share >= SHORTEST_QUOTA {
            Self {
                quota: share,
                period: PERIOD,
            }
        } else {
            Self {
                quota: SHORTEST_QUOTA,
                period: micros(SHORTEST_QUOTA.as_secs_f64() / cores).min(LONGEST_PERIOD),
            }
        })
    }

    /// For how long its threads may run in each period, together.
    #[must_use]
    pub fn quota(&self) -> Duration {
        self.quota
    }

    /// How often the quota is given anew.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// As a number of processors.
    #[must_use]
    pub fn cores(&self) -> f64 {
        self.quota.as_secs_f64() / self.period.as_secs_f64()
    }
}

/// How limits are set.
#[derive(Clone, Debug)]
enum Way {
    /// Groups below this folder, made and removed by us.
    Groups {
        version: Version,
        parent: PathBuf,
        /// The group that a process is in without a slice.
        origin: PathBuf,
    },
    /// Scopes of the user's systemd.
    Systemd,
}

/// The limits of some processes. Dropping it lifts them.
pub struct Slices {
    way: Way,
    owner: Owner,
    limited: BTreeMap<String, Limited>,
}

/// One process and its limit.
struct Limited {
    group: Group,
    limit: CpuLimit,
    /// Where systemd made the group.
    scope: Option<Scope>,
}

impl Slices {
    /// Finds out how limits can be set, by setting one to a process that does nothing, and removes what
    /// others left who were killed.
    ///
    /// # Errors
    ///
    /// None can be set; the error says what would help.
    pub fn prepare() -> Result<Self, SliceError> {
        let groups = match by_groups() {
            Ok(slices) => return Ok(slices),
            Err(reason) => reason,
        };
        let mut slices = Self::by(Way::Systemd);
        match slices.try_out() {
            Ok(()) => Ok(slices),
            Err(systemd) => Err(SliceError::NoWay {
                groups,
                systemd: systemd.to_string(),
            }),
        }
    }

    fn by(way: Way) -> Self {
        Self {
            way,
            owner: Owner::new(),
            limited: BTreeMap::new(),
        }
    }

    /// How limits are set here, for a reader.
    #[must_use]
    pub fn way(&self) -> &'static str {
        match &self.way {
            Way::Groups {
                version: Version::One,
                ..
            } => "control groups, version 1",
            Way::Groups {
                version: Version::Two,
                ..
            } => "control groups, version 2",
            Way::Systemd => "scopes of systemd",
        }
    }

    /// Limits a process, under a name of its own. A process that was known by this name before, and has
    /// ended, gives its place away.
    ///
    /// # Errors
    ///
    /// The process has ended, or the kernel refuses.
    pub fn limit(&mut self, name: &str, pid: u32, limit: CpuLimit) -> Result<(), SliceError> {
        self.lift(name);
        let limited = match &self.way {
            Way::Groups {
                version,
                parent,
                origin,
            } => {
                let folder = parent.join(self.owner.name(name));
                Group::make(*version, folder, origin.clone()).and_then(|group| {
                    match group.set(limit).and_then(|()| group.take(pid)) {
                        Ok(()) => Ok((group, None)),
                        Err(error) => {
                            group.remove();
                            Err(error)
                        }
                    }
                })
            }
            Way::Systemd => Scope::start(&self.owner.name(name), pid, limit)
                .map(|(scope, group)| (group, Some(scope))),
        };
        let (group, scope) = limited.map_err(|source| SliceError::Limit {
            name: name.to_owned(),
            pid,
            source,
        })?;
        let limited = Limited {
            group,
            limit,
            scope,
        };
        self.limited.insert(name.to_owned(), limited);
        Ok(())
    }

    /// Every limit, by the name of its process.
    #[must_use]
    pub fn limits(&self) -> BTreeMap<String, CpuLimit> {
        let limits = self.limited.iter();
        limits
            .map(|(name, one)| (name.clone(), one.limit))
            .collect()
    }

    /// How much each process was held back since its limit was set.
    ///
    /// # Errors
    ///
    /// A group cannot be read.
    pub fn throttling(&self) -> Result<BTreeMap<String, Throttling>, SliceError> {
        let read = |(name, one): (&String, &Limited)| match one.group.throttling() {
            Ok(throttling) => Ok((name.clone(), throttling)),
            Err(source) => Err(SliceError::Read {
                name: name.clone(),
                path: one.group.path().display().to_string(),
                source,
            }),
        };
        self.limited.iter().map(read).collect()
    }

    /// Lets a process run freely again.
    pub fn lift(&mut self, name: &str) {
        if let Some(Limited { group, scope, .. }) = self.limited.remove(name) {
            match scope {
                Some(scope) => scope.lift(),
                None => group.remove(),
            }
        }
    }

    /// Lets all processes run freely again.
    pub fn lift_all(&mut self) {
        let names: Vec<String> = self.limited.keys().cloned().collect();
        names.iter().for_each(|name| self.lift(name));
    }

    /// Limits a process that does nothing, and reads what came of it.
    fn try_out(&mut self) -> Result<(), SliceError> {
        const NAME: &str = "trial";
        let failed = |pid, source| SliceError::Limit {
            name: NAME.to_owned(),
            pid,
            source,
        };
        // It ends with its standard input.
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| failed(0, source))?;
        let limited = CpuLimit::of(0.5)
            .and_then(|limit| self.limit(NAME, child.id(), limit))
            .and_then(|()| self.throttling().map(drop));
        self.lift(NAME);
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        limited
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        self.lift_all();
    }
}

/// By control groups of our own; or why not.
fn by_groups() -> Result<Slices, String> {
    let Some((version, folders)) = cgroup::controlled_groups(std::process::id()) else {
        return Err("none is mounted that this process is in".to_owned());
    };
    let origin = folders[0].clone();
    // In version 2 a group has processes or groups below it, so ours is beside this process's, and the
    // nearest that may be is best.
    let parents = match version {
        Version::One => &folders[..1],
        Version::Two => &folders[..],
    };
    let mut reasons = Vec::new();
    for parent in parents {
        group::remove_leftovers(version, parent, &origin);
        let mut slices = Slices::by(Way::Groups {
            version,
            parent: parent.clone(),
            origin: origin.clone(),
        });
        let tried = match group::enable(version, parent) {
            Ok(()) => slices.try_out().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match tried {
            Ok(()) => return Ok(slices),
            Err(reason) => reasons.push(format!("{}: {reason}", parent.display())),
        }
    }
    Err(reasons.join("; "))
}

#[cfg(test)]
mod tests;

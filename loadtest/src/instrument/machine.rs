//! What the machine does besides the run: readings between windows, and what happened between two.

use std::{collections::HashMap, fs, thread, time::Duration};

use procfs::{
    Current as _, CurrentSI as _, KernelStats, ProcError, VmStat,
    process::{Stat, all_processes},
};
use rustix::time::{ClockId, clock_gettime};

use crate::subject::cgroup;

/// `PF_KTHREAD`: what the kernel does for processes, the network's traffic among it.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// All counters at one moment.
#[derive(Clone, Debug)]
pub struct MachineReading {
    /// Since the machine's start without the time for which it slept.
    monotonic: Duration,
    /// The same with that time.
    boot: Duration,
    /// The time of day.
    wall: Duration,
    /// Of all processors.
    cpu: CpuSeconds,
    processes: Processes,
    swapped_pages: u64,
    major_faults: u64,
    throttled: Duration,
    /// How often a processor was slowed down because of its heat.
    too_hot: u64,
    /// Of the fastest processor.
    mhz: Option<f64>,
}

/// In seconds, added over processors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct CpuSeconds {
    /// By processes and the kernel's own threads. The handling of interrupts is left out: most of
    /// it is caused by the run itself and is no process's.
    worked: f64,
    stolen: f64,
    total: f64,
}

#[derive(Clone, Debug, Default)]
struct Processes {
    /// CPU seconds of this process and its children, those that ended included.
    ours: f64,
    /// CPU seconds of all other processes, those that ended included as far as somebody waited for
    /// them.
    others: f64,
    /// Name and CPU seconds of every other process that lives.
    living: HashMap<i32, (String, f64)>,
}

/// What happened on the machine in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineUse {
    /// How long that was.
    pub elapsed: Duration,
    /// CPU seconds that there were, over all processors.
    pub cpu_seconds: f64,
    /// Of these, what the hypervisor gave to others while something here wanted to run.
    pub stolen_seconds: f64,
    /// Of these, what was worked for neither this process nor its children.
    pub other_seconds: f64,
    /// The other process that worked most, and its CPU seconds; only of those that lived throughout.
    pub busiest_other: Option<(String, f64)>,
    /// Pages that were swapped in or out.
    pub swapped_pages: u64,
    /// Pages that had to be read from a disk first.
    pub major_faults: u64,
    /// For how long threads were held back by a CPU quota, added over processors.
    pub throttled: Duration,
    /// How often a processor was slowed down because of its heat.
    pub too_hot: u64,
    /// The largest jump of the time of day against the monotonic clock in one stretch.
    pub clock_jump: Duration,
    /// How long the machine slept.
    pub suspended: Duration,
    /// Lowest and highest frequency of the fastest processor at the ends of stretches, MHz; absent
    /// where it is not told.
    pub mhz: Option<(f64, f64)>,
}

/// The kernel does not tell what the machine does.
#[derive(Debug, thiserror::Error)]
#[error("reading what the machine does from /proc, which must be mounted: {0}")]
pub struct MachineError(#[from] ProcError);

impl MachineReading {
    /// Reads all counters: some milliseconds of work, so it belongs between windows.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn now() -> Result<Self, MachineError> {
        let clock = |id| {
            let now = clock_gettime(id);
            Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
        };
        let counters = VmStat::current()?.0;
        let counter = |name| counters.get(name).map_or(0, |count| count.unsigned_abs());
        Ok(Self {
            mhz: fastest_mhz(),
            monotonic: clock(ClockId::Monotonic),
            boot: clock(ClockId::Boottime),
            wall: clock(ClockId::Realtime),
            cpu: CpuSeconds::now()?,
            processes: Processes::now()?,
            swapped_pages: counter("pswpin") + counter("pswpout"),
            major_faults: counter("pgmajfault"),
            throttled: cgroup::throttled(),
            too_hot: heat_events(),
        })
    }

    /// What happened since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> MachineUse {
        let elapsed = self.monotonic.saturating_sub(earlier.monotonic);
        // Two views of the same. The kernel's sum knows of work outside of a container, and may count
        // under interrupts what it also gives to a process; the processes' own times are exact, and
        // lack those that cannot be seen from here. Either is too low at times and neither too high.
        let worked = self.cpu.worked - earlier.cpu.worked;
        let ours = self.processes.ours - earlier.processes.ours;
        let others = self.processes.others - earlier.processes.others;
        let slept = |reading: &Self| reading.boot.saturating_sub(reading.monotonic);
        let suspended = slept(self).saturating_sub(slept(earlier));
        // Sleep is in the time of day and is no jump of it.
        let expected = elapsed + suspended;
        MachineUse {
            elapsed,
            cpu_seconds: (self.cpu.total - earlier.cpu.total).max(0.0),
            stolen_seconds: (self.cpu.stolen - earlier.cpu.stolen).max(0.0),
            other_seconds: (worked - ours).max(others).max(0.0),
            busiest_other: self.processes.busiest_since(&earlier.processes),
            swapped_pages: self.swapped_pages.saturating_sub(earlier.swapped_pages),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            throttled: self.throttled.saturating_sub(earlier.throttled),
            too_hot: self.too_hot.saturating_sub(earlier.too_hot),
            clock_jump: self.wall.abs_diff(earlier.wall + expected),
            suspended,
            mhz: self.mhz.map(|mhz| (mhz, mhz)),
        }
    }
}

/// What the machine does in a second in which this process does nothing: is it quiet?
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn at_rest() -> Result<MachineUse, MachineError> {
    let before = MachineReading::now()?;
    thread::sleep(Duration::from_secs(1));
    Ok(MachineReading::now()?.since(&before))
}

impl MachineUse {
    /// Adds another stretch of time.
    pub fn add(&mut self, other: &Self) {
        self.elapsed += other.elapsed;
        self.cpu_seconds += other.cpu_seconds;
        self.stolen_seconds += other.stolen_seconds;
        self.other_seconds += other.other_seconds;
        self.swapped_pages += other.swapped_pages;
        self.major_faults += other.major_faults;
        self.throttled += other.throttled;
        self.too_hot += other.too_hot;
        self.clock_jump = self.clock_jump.max(other.clock_jump);
        self.suspended += other.suspended;
        let busiest = [self.busiest_other.take(), other.busiest_other.clone()];
        self.busiest_other = busiest
            .into_iter()
            .flatten()
            .max_by(|one, other| one.1.total_cmp(&other.1));
        self.mhz = match (self.mhz, other.mhz) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
    }

    /// Share of all processors' time that was stolen, 0 to 1.
    #[must_use]
    pub fn stolen_share(&self) -> f64 {
        self.stolen_seconds / self.cpu_seconds.max(1e-9)
    }

    /// Share of all processors' time that was worked for others, 0 to 1.
    #[must_use]
    pub fn other_share(&self) -> f64 {
        self.other_seconds / self.cpu_seconds.max(1e-9)
    }
}

impl CpuSeconds {
    fn now() -> Result<Self, ProcError> {
        let all = KernelStats::current()?.total;
        let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        let worked = all.user + all.nice + all.system;
        let rest = [all.iowait, all.irq, all.softirq, all.steal];
        let rest: u64 = rest.into_iter().flatten().sum();
        Ok(Self {
            worked: seconds(worked),
            stolen: seconds(all.steal.unwrap_or(0)),
            total: seconds(worked + all.idle + rest),
        })
    }
}

impl Processes {
    fn now() -> Result<Self, ProcError> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut found = Self::default();
        // A process may end while it is looked at.
        for stat in all_processes()?.filter_map(|process| process.ok()?.stat().ok()) {
            if stat.pid == own || stat.ppid == own {
                found.ours += cpu_seconds(&stat);
            } else if stat.flags & KERNEL_THREAD == 0 {
                found.others += cpu_seconds(&stat);
                let seconds = (stat.utime + stat.stime) as f64;
                let seconds = seconds / procfs::ticks_per_second() as f64;
                found.living.insert(stat.pid, (stat.comm, seconds));
            }
        }
        Ok(found)
    }

    fn busiest_since(&self, earlier: &Self) -> Option<(String, f64)> {
        let worked = self.living.iter().filter_map(|(pid, (name, seconds))| {
            let (_, before) = earlier.living.get(pid).filter(|(was, _)| was == name)?;
            Some((name.clone(), seconds - before)).filter(|(_, worked)| *worked > 0.0)
        });
        worked.max_by(|one, other| one.1.total_cmp(&other.1))
    }
}

/// With that of the children that ended and were waited for, so that nothing is lost with them.
fn cpu_seconds(stat: &Stat) -> f64 {
    let ended = stat.cutime.unsigned_abs() + stat.cstime.unsigned_abs();
    (stat.utime + stat.stime + ended) as f64 / procfs::ticks_per_second() as f64
}

/// The fastest one is the one that works just now.
fn fastest_mhz() -> Option<f64> {
    let cpus = procfs::CpuInfo::current().ok()?;
    (0..cpus.num_cores())
        .filter_map(|cpu| cpus.get_field(cpu, "cpu MHz")?.parse().ok())
        .max_by(f64::total_cmp)
}

/// 0 where the processor or the system does not tell.
fn heat_events() -> u64 {
    let Ok(cpus) = fs::read_dir("/sys/devices/system/cpu") else {
        return 0;
    };
    let count = |cpu: fs::DirEntry| {
        let path = cpu.path().join("thermal_throttle/core_throttle_count");
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    cpus.filter_map(|cpu| count(cpu.ok()?)).sum()
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;

    /// A process that works for so long.
    fn busy(seconds: &str) -> Command {
        let mut shell = Command::new("timeout");
        shell.args([seconds, "sh", "-c", "while :; do :; done"]);
        shell.stdout(Stdio::null());
        shell
    }

    #[test]
    fn work_of_a_child_that_ended_meanwhile_is_ours() {
        let before = MachineReading::now().unwrap();
        busy("0.5").status().unwrap();
        let after = MachineReading::now().unwrap();
        let ours = after.processes.ours - before.processes.ours;
        // Other tests of this process may add to it, and a full machine takes from it.
        assert!(ours > 0.05, "{ours}");
    }

    #[test]
    fn work_that_is_not_ours_is_seen_and_named() {
        let before = MachineReading::now().unwrap();
        // The shell that works is a child of `timeout` and so a grandchild of this process.
        let mut timeout = busy("30").spawn().unwrap();
        let started = Instant::now();
        let is_seen = loop {
            thread::sleep(Duration::from_millis(100));
            let now = MachineReading::now().unwrap();
            let mut others = now.processes.living.values();
            let named = others.any(|(name, seconds)| name == "sh" && *seconds > 0.2);
            if named && now.since(&before).other_seconds > 0.1 {
                break true;
            } else if started.elapsed() > Duration::from_secs(20) {
                break false;
            }
        };
        // It passes the signal on to its child.
        let pid = rustix::process::Pid::from_child(&timeout);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        timeout.wait().unwrap();
        assert!(is_seen);
    }

    fn reading(seconds: u64) -> MachineReading {
        MachineReading {
            monotonic: Duration::from_secs(seconds),
            boot: Duration::from_secs(seconds),
            wall: Duration::from_secs(1_000_000 + seconds),
            cpu: CpuSeconds {
                worked: seconds as f64,
                stolen: 0.0,
                total: 2.0 * seconds as f64,
            },
            processes: Processes {
                ours: seconds as f64 * 0.75,
                others: seconds as f64 * 0.25,
                living: HashMap::from([(7, ("make".to_owned(), seconds as f64 / 8.0))]),
            },
            swapped_pages: 0,
            major_faults: 0,
            throttled: Duration::ZERO,
            too_hot: 0,
            mhz: Some(3_000.0),
        }
    }

    #[test]
    fn what_was_worked_and_is_not_ours_is_a_share_of_all_processors() {
        let seen = reading(18).since(&reading(10));
        assert_eq!(seen.other_share(), 0.125);
        assert_eq!(seen.busiest_other, Some(("make".to_owned(), 1.0)));
        assert_eq!(seen.clock_jump, Duration::ZERO);
    }

    #[test]
    fn a_clock_that_was_set_has_jumped_and_a_machine_that_slept_has_not() {
        let mut set = reading(18);
        set.wall -= Duration::from_secs(3);
        assert_eq!(set.since(&reading(10)).clock_jump, Duration::from_secs(3));
        let mut slept = reading(18);
        slept.wall += Duration::from_secs(60);
        slept.boot += Duration::from_secs(60);
        let seen = slept.since(&reading(10));
        assert_eq!(seen.clock_jump, Duration::ZERO);
        assert_eq!(seen.suspended, Duration::from_secs(60));
    }

    #[test]
    fn stretches_of_time_add_up_and_keep_the_worst_jump() {
        let mut all = reading(12).since(&reading(10));
        let mut set = reading(18);
        set.wall += Duration::from_secs(1);
        set.mhz = Some(2_000.0);
        all.add(&set.since(&reading(12)));
        assert_eq!(all.elapsed, Duration::from_secs(8));
        assert_eq!(all.other_share(), 0.125);
        assert_eq!(all.clock_jump, Duration::from_secs(1));
        assert_eq!(all.mhz, Some((2_000.0, 3_000.0)));
    }
}

//! Scopes of the user's systemd: what `systemd-run --user --scope` makes, for a process that runs
//! already. A user's systemd may limit CPU time where it was delegated that controller, which is the
//! default since version 252.

use std::{
    io,
    process::Command,
    time::{Duration, Instant},
};

use super::{CpuLimit, cgroup, group::Group};

/// systemd puts the process into the scope a moment after it said yes.
const PATIENCE: Duration = Duration::from_secs(2);
/// A number that systemd takes for "no limit".
const NO_LIMIT: &str = "18446744073709551615";
const MANAGER: [&str; 3] = [
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
];

/// A transient unit around a process. It goes when the process does.
#[derive(Debug)]
pub(super) struct Scope {
    unit: String,
}

impl Scope {
    /// Puts a process into a scope with a limit, and finds the group that was made for it.
    pub(super) fn start(name: &str, pid: u32, limit: CpuLimit) -> io::Result<(Self, Group)> {
        let unit = format!("{name}.scope");
        let arguments = start_arguments(&unit, pid, limit);
        call(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((version, folders)) = cgroup::controlled_groups(pid)
                && folders[0].ends_with(&unit)
            {
                return Ok((Self { unit }, Group::found(version, folders[0].clone())));
            }
            if Instant::now() >= deadline {
                let what = format!("systemd did not put the process into {unit}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the limit away. Where the process has ended there is nothing to be done.
    pub(super) fn lift(self) {
        let property = ["CPUQuotaPerSecUSec", "t", NO_LIMIT];
        let call_of = ["SetUnitProperties", "sba(sv)", &self.unit, "true", "1"];
        // The unit goes with the process, which may have ended.
        let _ = call(&[&call_of[..], &property].concat());
    }
}

/// The call, in the words of `busctl`: method, signature, arguments.
fn start_arguments(unit: &str, pid: u32, limit: CpuLimit) -> Vec<String> {
    let per_second = (limit.cores() * 1e6).round();
    let (pid, per_second) = (pid.to_string(), format!("{per_second:.0}"));
    let period = limit.period().as_micros().to_string();
    let arguments = [
        &["StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "3"][..],
        &["PIDs", "au", "1", &pid],
        &["CPUQuotaPerSecUSec", "t", &per_second],
        &["CPUQuotaPeriodUSec", "t", &period],
        &["0"],
    ];
    arguments.concat().into_iter().map(str::to_owned).collect()
}

fn call(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("busctl")
        .args(["--user", "--quiet", "call"])
        .args(MANAGER)
        .args(arguments)
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("busctl: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("busctl: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_asked_for_a_scope_around_the_process_with_its_quota_and_its_period() {
        let asked = start_arguments("a.scope", 77, CpuLimit::of(0.05).unwrap());
        assert_eq!(
            asked.join(" "),
            "StartTransientUnit ssa(sv)a(sa(sv)) a.scope fail 3 PIDs au 1 77 \
             CPUQuotaPerSecUSec t 50000 CPUQuotaPeriodUSec t 40000 0"
        );
    }
}

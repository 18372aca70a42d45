//! The CPU-time clock of a process. Reading it asks the kernel and not the process, so it costs the
//! process nothing and is exact where a process is held back by a CPU limit.

use std::time::Duration;

use nix::{time::ClockId, unistd::Pid};

/// CPU time of all threads of a process since it began, those that ended included; `None` when there
/// is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    let clock = ClockId::pid_cpu_clock_id(pid).ok()?;
    clock.now().ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn work_of_another_process_is_seen_while_it_lives() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "while :; do :; done"]);
        let mut busy = shell.stdout(Stdio::null()).spawn().unwrap();
        let before = cpu_time(busy.id()).unwrap();
        while cpu_time(busy.id()).unwrap() < before + Duration::from_millis(20) {
            std::thread::yield_now();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert_eq!(cpu_time(busy.id()), None);
    }
}

//! With the kernel's own groups. Where no limit can be set these tests say so and check nothing else.

use std::{
    process::{Child, Command},
    time::Instant,
};

use super::*;
use crate::subject::usage::cpu_time;

/// Where limits cannot be set, the error must say what would help.
fn prepared() -> Option<Slices> {
    match Slices::prepare() {
        Ok(slices) => Some(slices),
        Err(error) => {
            let told = error.to_string();
            assert!(told.contains("--whole-machine"), "{told}");
            crate::console::tell(format_args!("NOT TESTED, no limit can be set here: {told}"));
            None
        }
    }
}

/// A process that works until it is killed.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "while :; do :; done"]);
        Self(shell.spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn cpu(&self) -> Duration {
        cpu_time(self.pid()).unwrap()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The groups of this process that are there.
fn left(slices: &Slices) -> Vec<String> {
    let Way::Groups { parent, .. } = &slices.way else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(parent).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ours = slices.owner.name("");
    names.filter(|name| name.starts_with(&ours)).collect()
}

#[test]
fn a_slice_is_a_share_of_forty_milliseconds_or_two_milliseconds_of_a_longer_period() {
    for (cores, quota_us, period_us) in [
        (0.05, 2_000, 40_000),
        (0.025, 2_000, 80_000),
        (0.4, 16_000, 40_000),
        (2.0, 80_000, 40_000),
        (0.002, 2_000, 1_000_000),
    ] {
        let limit = CpuLimit::of(cores).unwrap();
        assert_eq!(limit.quota().as_micros(), quota_us, "{cores}");
        assert_eq!(limit.period().as_micros(), period_us, "{cores}");
        assert!((limit.cores() - cores).abs() < 1e-9);
    }
    for wrong in [0.0, -1.0, 0.001, 1e9, f64::NAN] {
        assert!(CpuLimit::of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_busy_process_gets_its_slice_and_no_more_and_is_free_again_when_it_is_lifted() {
    let Some(mut slices) = prepared() else { return };
    let busy = Busy::start();
    let limit = CpuLimit::of(0.1).unwrap();
    slices.limit("busy", busy.pid(), limit).unwrap();
    // What it used before it was limited may have to be made up for first.
    std::thread::sleep(limit.period() * 2);
    let (began, used, before) = (Instant::now(), busy.cpu(), slices.throttling().unwrap());
    std::thread::sleep(Duration::from_secs(2));
    let lasted = began.elapsed().as_secs_f64();
    let share = (busy.cpu() - used).as_secs_f64() / lasted;
    let throttling = slices.throttling().unwrap()["busy"].since(&before["busy"]);
    // A full machine gives it less; nothing gives it more.
    assert!((0.03..0.12).contains(&share), "{share}");
    assert!(
        throttling.periods > 10 && throttling.time > Duration::ZERO,
        "{throttling:?}"
    );
    assert!(
        share < 0.09 || throttling.share() > 0.5,
        "{share} {throttling:?}"
    );

    slices.lift("busy");
    assert_eq!(left(&slices), Vec::<String>::new());
    let (began, used) = (Instant::now(), busy.cpu());
    // Waits until it has had more than the slice would have given, on however full a machine.
    loop {
        let share = (busy.cpu() - used).as_secs_f64() / began.elapsed().as_secs_f64();
        if share > 0.15 && began.elapsed() > Duration::from_millis(200) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{share}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_is_left_when_slices_are_dropped_whether_their_processes_live_or_not() {
    let Some(mut slices) = prepared() else { return };
    let (living, ended) = (Busy::start(), Busy::start());
    let limit = CpuLimit::of(0.05).unwrap();
    slices.limit("living", living.pid(), limit).unwrap();
    slices.limit("ended", ended.pid(), limit).unwrap();
    assert_eq!(slices.limits().len(), 2);
    drop(ended);
    let Way::Groups { parent, .. } = slices.way.clone() else {
        return;
    };
    let ours = slices.owner.name("");
    drop(slices);
    let names = std::fs::read_dir(parent).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.any(|name| name.starts_with(&ours)));
}

#[test]
fn the_next_one_who_starts_in_the_place_of_a_process_is_limited_in_its_name() {
    let Some(mut slices) = prepared() else { return };
    let limit = CpuLimit::of(0.05).unwrap();
    for _ in 0..2 {
        let busy = Busy::start();
        slices.limit("api-jwt-1", busy.pid(), limit).unwrap();
        assert_eq!(slices.throttling().unwrap().len(), 1);
    }
}

#[test]
fn a_process_that_has_ended_cannot_be_limited_and_leaves_nothing() {
    let Some(mut slices) = prepared() else { return };
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let error = slices
        .limit("gone", pid, CpuLimit::of(0.05).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert_eq!(left(&slices), Vec::<String>::new());
}

#[test]
fn what_a_killed_owner_left_is_removed_by_the_next_start() {
    let Some(slices) = prepared() else { return };
    let Way::Groups {
        version,
        parent,
        origin,
    } = &slices.way
    else {
        return;
    };
    // As of a process that was here before: this id with another moment of birth.
    let orphan = Busy::start();
    let name = format!("statewise-of-{}-1-0-api", std::process::id());
    let group = Group::make(*version, parent.join(&name), origin.clone()).unwrap();
    // Another test may prepare its own slices at this moment, and so remove it already.
    let _ = group.take(orphan.pid());
    let _again = Slices::prepare().unwrap();
    assert!(!parent.join(&name).exists());
}

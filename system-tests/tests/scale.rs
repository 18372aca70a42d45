//! `loadtest scale` in its shortest form, on a real system within real CPU limits: what it writes must make
//! sense. Whether its predictions are good is for a quiet machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use loadtest::{
    console::tell,
    results::{Results, Scale, Validity, scale::Component},
    subject::slices::Slices,
};
use rustix::process::{Pid, Signal, kill_process};
use system_tests::{command, eventually, within};

/// Two minutes at most, on a busy machine several.
const LONGEST: Duration = Duration::from_secs(900);

fn start(out: &Path) -> Child {
    let mut loadtest = command("loadtest");
    loadtest.args([
        "scale",
        "--quick",
        "--strategy",
        "session",
        "--replicas",
        "4,1,3",
    ]);
    loadtest.args(["--up-and-down", "1"]);
    // A debug build takes ten times as long for a request.
    loadtest.args(["--replica-cpu", "0.1", "--redis-cpu", "0.1", "--out"]);
    loadtest.arg(out).spawn().expect("the program starts")
}

/// Whether limits can be set here; if not, what was said must help, and the test says that it tests nothing.
fn can_limit() -> bool {
    let Err(error) = Slices::prepare() else {
        return true;
    };
    let said = error.to_string();
    assert!(said.contains("--whole-machine"), "{said}");
    tell(format_args!("NOT TESTED, no limit can be set here: {said}"));
    false
}

/// The control groups that a process of this id made.
fn groups_of(owner: u32) -> Vec<PathBuf> {
    fn below(folder: &Path, prefix: &str, depth: u32, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(prefix) {
                found.push(entry.path());
            } else if depth > 0 {
                below(&entry.path(), prefix, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    below(
        Path::new("/sys/fs/cgroup"),
        &format!("statewise-of-{owner}-"),
        6,
        &mut found,
    );
    found
}

fn members(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn the_throughput_of_more_replicas_is_predicted_before_it_is_observed() {
    if !can_limit() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path());
    let pid = child.id();
    let (status, _) = within(LONGEST, "the run ends", || child.try_wait().unwrap());
    let results = Results::read(&folder.path().join("results.json")).unwrap();
    assert_eq!(groups_of(pid), Vec::<PathBuf>::new());

    let scale = results.scale.as_ref().expect("it was measured");
    assert!(scale.limits_set_by.is_some() && scale.predicted_at <= scale.observed_from);
    assert_points_make_sense(scale);
    assert_demands_make_sense(scale);
    let [change] = scale.changes.as_slice() else {
        panic!("{:?}", scale.changes);
    };
    assert_eq!((change.from, change.to, change.cycles), (2, 4, 1));
    assert!(change.requests > 0 && change.failed == 0, "{change:?}");
    let prediction = fs::read_to_string(folder.path().join("prediction.json")).unwrap();
    let prediction: serde_json::Value = serde_json::from_str(&prediction).unwrap();
    for (written, point) in prediction["points"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&scale.points)
    {
        assert_eq!(
            written["predicted_per_second"].as_f64(),
            Some(point.predicted_per_second)
        );
    }
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("what the next replica buys"));
    // Other tests run at the same time, so DISTURBED is likely.
    let expected = match results.validity {
        Validity::Valid => 0,
        Validity::Invalid | Validity::Disturbed => 3,
        Validity::Overloaded | Validity::Inconclusive => 4,
    };
    assert_eq!(status.code(), Some(expected), "{:?}", results.gates);
}

#[track_caller]
fn assert_points_make_sense(scale: &Scale) {
    let replicas: Vec<(u32, bool)> = scale
        .points
        .iter()
        .map(|point| (point.replicas, point.held_out))
        .collect();
    assert_eq!(
        replicas,
        [(1, false), (3, true), (4, false)],
        "{:?}",
        scale.refused
    );
    for point in &scale.points {
        assert_eq!((point.strategy.as_str(), point.shards), ("session", 1));
        assert_eq!(point.observations.len(), 3);
        assert!(
            point.predicted_per_second > 0.0 && point.observed_per_second > 0.0,
            "{point:?}"
        );
        assert!(
            point.ratio_low <= point.ratio && point.ratio <= point.ratio_high,
            "{point:?}"
        );
        assert_eq!(point.failed, 0, "{point:?}");
        // No process can have had more than its slice, but for a period at each end.
        for component in [Component::Api, Component::Redis] {
            let used = point.used[&component];
            assert!((0.01..1.15).contains(&used), "{component:?} {point:?}");
        }
        assert!(point.demand_cores < 2.0, "{point:?}");
    }
    // Three slices do more than one, on however busy a machine.
    let [one, three, _] = scale.points.as_slice() else {
        return;
    };
    assert!(
        three.observed_per_second > one.observed_per_second,
        "{one:?} {three:?}"
    );
    assert!(three.predicted_per_second > one.predicted_per_second);
    assert!(one.next_replica_per_second.is_some_and(|more| more > 0.0));
}

#[track_caller]
fn assert_demands_make_sense(scale: &Scale) {
    let subject = &scale.subjects[0];
    assert_eq!(
        (subject.strategy.as_str(), subject.scaled),
        ("session", Component::Api)
    );
    let slices: Vec<(Component, f64)> = subject
        .slices
        .iter()
        .map(|slice| (slice.component, slice.cores))
        .collect();
    assert_eq!(slices, [(Component::Api, 0.1), (Component::Redis, 0.1)]);
    // Three rounds at one, two and four replicas.
    assert_eq!(subject.demands.len(), 9);
    for window in &subject.demands {
        assert!(window.rate_per_second > 0.0, "{window:?}");
        for component in [
            Component::Api,
            Component::Redis,
            Component::Gateway,
            Component::Generator,
        ] {
            assert!(
                window.demand_us[&component] > 0.1,
                "{component:?} {window:?}"
            );
        }
    }
}

#[test]
fn a_run_that_is_killed_leaves_no_process_and_the_next_one_removes_its_groups() {
    if !can_limit() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path());
    let pid = child.id();
    let groups = eventually("processes are limited", || {
        let groups = groups_of(pid);
        let limited = groups.iter().filter(|group| !members(group).is_empty());
        (limited.count() >= 2).then_some(groups)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // A group in which nobody is limits nobody.
    eventually("every process ends", || {
        groups
            .iter()
            .all(|group| members(group).is_empty())
            .then_some(())
    });
    drop(Slices::prepare().unwrap());
    assert_eq!(groups_of(pid), Vec::<PathBuf>::new());
}

#[test]
fn a_run_that_is_interrupted_undoes_its_limits() {
    if !can_limit() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path());
    let pid = child.id();
    eventually("processes are limited", || {
        (groups_of(pid).len() >= 2).then_some(())
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = eventually("it ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert_eq!(groups_of(pid), Vec::<PathBuf>::new());
}

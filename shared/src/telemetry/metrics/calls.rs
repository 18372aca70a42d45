//! Calls to Redis and to the user store: `db.client.operation.duration` of the OpenTelemetry
//! semantic conventions.
//!
//! They are the process's, as its CPU time is: a connection belongs to the thread that opened it, and
//! all of them count together.

use std::{cell::RefCell, sync::LazyLock, time::Duration};

use prometheus_client::{
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::duration_histogram;

type Label = (&'static str, &'static str);
type Calls = Family<Vec<Label>, Histogram, fn() -> Histogram>;

static CALLS: LazyLock<Calls> =
    LazyLock::new(|| Family::new_with_constructor(duration_histogram as fn() -> Histogram));

thread_local! {
    /// The histograms that this thread has used: the family hashes labels under a lock.
    static USED: RefCell<Vec<(Call, Histogram)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Call {
    system: &'static str,
    operation: &'static str,
    error: Option<&'static str>,
}

/// Counts a call to the `system` (`db.system.name`) that took so long: the command or the kind of
/// statement, and how it failed if it did. All three are names in the code, so that no caller adds
/// a series.
pub fn observe(
    system: &'static str,
    operation: &'static str,
    error: Option<&'static str>,
    took: Duration,
) {
    let call = Call {
        system,
        operation,
        error,
    };
    USED.with_borrow_mut(|used| {
        if let Some((_, histogram)) = used.iter().find(|(other, _)| *other == call) {
            histogram.observe(took.as_secs_f64());
            return;
        }
        let mut labels = vec![("db_system_name", system), ("db_operation_name", operation)];
        labels.extend(error.map(|error| ("error_type", error)));
        let histogram = CALLS.get_or_create_owned(&labels);
        histogram.observe(took.as_secs_f64());
        used.push((call, histogram));
    });
}

pub(super) fn register(registry: &mut Registry) {
    registry.register_with_unit(
        "db_client_operation_duration",
        "Time of a call to Redis or to the user store, waiting for a connection included; \
         error_type only where it failed",
        Unit::Seconds,
        CALLS.clone(),
    );
}

//! What strategies decide by, made once and shared among those that are configured alike.

use std::{any::Any, convert::Infallible};

use shared::{
    clock::Clock,
    shutdown::CancellationToken,
    telemetry::{metrics::Metrics, trace::Tracing},
};

/// Things that are made of settings, once for settings that are equal.
#[derive(Default)]
pub(crate) struct Made(Vec<Box<dyn Any>>);

impl Made {
    /// What was made of these settings, or what `make` makes of them now.
    pub(super) fn of<S, T>(&mut self, settings: &S, make: impl FnOnce() -> T) -> T
    where
        S: Clone + PartialEq + 'static,
        T: Clone + 'static,
    {
        let Ok(made) = self.try_of(settings, || Ok::<_, Infallible>(make()));
        made
    }

    /// The same, where making it may fail.
    pub(super) fn try_of<S, T, E>(
        &mut self,
        settings: &S,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        S: Clone + PartialEq + 'static,
        T: Clone + 'static,
    {
        let mut made = self.0.iter().filter_map(|one| one.downcast_ref::<(S, T)>());
        if let Some((_, thing)) = made.find(|(other, _)| other == settings) {
            return Ok(thing.clone());
        }
        let thing = make()?;
        self.0.push(Box::new((settings.clone(), thing.clone())));
        Ok(thing)
    }
}

/// What strategies have in one process.
pub(crate) struct Process<'a> {
    /// The time, for what counts it between requests.
    pub(super) clock: &'a Clock,
    /// Where strategies register their metrics.
    pub(super) metrics: &'a Metrics,
    /// Makes the spans of what fails between requests.
    pub(super) tracing: &'a Tracing,
    /// Ends what runs in the background.
    pub(super) stop: &'a CancellationToken,
    /// Key sets, followed revocations, counters.
    pub(super) made: Made,
}

impl<'a> Process<'a> {
    /// Nothing is made yet.
    pub(crate) fn new(
        clock: &'a Clock,
        metrics: &'a Metrics,
        tracing: &'a Tracing,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            clock,
            metrics,
            tracing,
            stop,
            made: Made::default(),
        }
    }
}

/// What strategies have on one worker thread: connections and memories.
pub(crate) type Thread = Made;

//! How far a long job is: a bar on a terminal, plain lines otherwise. Both go to standard error, so
//! that standard output holds results only.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::tell;

/// Shows how far a job of several steps is.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    expected: Duration,
}

impl Progress {
    /// Begins; `expected` is the planned length of the whole job.
    #[must_use]
    pub fn start(expected: Duration) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(expected));
        Self {
            bar,
            started: Instant::now(),
            expected,
        }
    }

    /// Says what is being done now.
    pub fn step(&self, what: &str) {
        let elapsed = self.started.elapsed();
        match &self.bar {
            Some(bar) => {
                // A job that takes longer than planned shows a full bar, not an overfull one.
                bar.set_position(millis(elapsed.min(self.expected)));
                bar.set_message(what.to_owned());
            }
            None => tell(format_args!("[{:5.1} s] {what}", elapsed.as_secs_f64())),
        }
    }

    /// Says what the reader may want to act on before the end.
    pub fn warn(&self, what: &str) {
        let line = format!("warning: {what}");
        match &self.bar {
            Some(bar) => bar.println(line),
            None => tell(line),
        }
    }

    /// Moves the bar on without a new step; plain output shows nothing.
    pub fn tick(&self) {
        if let Some(bar) = &self.bar {
            bar.set_position(millis(self.started.elapsed().min(self.expected)));
        }
    }

    /// Removes the bar, so that what follows is not drawn over.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(expected: Duration) -> ProgressBar {
    let bar = ProgressBar::new(millis(expected));
    bar.set_style(style());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed:>4} {bar:28.cyan/blue} {wide_msg}")
        // The default style is plainer and as true.
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! One log subscriber on standard error.
//!
//! A line that cannot be written is lost, and costs nobody anything: neither a reader that went away
//! or does not read, nor a full disk, ends or delays what logs. What was lost is counted by
//! `statewise_log_lines_lost_total`.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    os::fd::{AsFd, BorrowedFd},
    panic,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
};
use tracing_subscriber::EnvFilter;

/// How long a line waits for a reader that does not read, before this line and all that follow are
/// lost until the reader reads again.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a pipe takes at once when it says that it takes anything (POSIX `PIPE_BUF` of Linux).
const PIECE_BYTES: usize = 4096;

/// How log lines are written.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// One JSON object a line instead of text for people.
    pub json: bool,
    /// Checked filter directives.
    pub filter: String,
}

/// `human` or `json`.
pub(super) fn parse_format(text: &str) -> Result<bool, String> {
    match text {
        "human" => Ok(false),
        "json" => Ok(true),
        other => Err(format!("{other:?} is neither human nor json")),
    }
}

/// Directives that the filter can read.
pub(super) fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{text:?} is not a log filter ({error})"))
}

/// Installs the process's subscriber; panics are logged by it too. A second call changes nothing.
pub fn init(settings: &LogSettings) {
    // The OpenTelemetry SDK logs one line for each dropped batch; its warnings are enough.
    let filter = EnvFilter::new(&settings.filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What cannot be written cannot be told there either: it would end the task that logs.
        .log_internal_errors(false)
        .with_writer(|| StandardError);
    let outcome = if settings.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
    // Tests start several services in one process; the first one's subscriber serves all.
    if outcome.is_ok() {
        // The standard library's own hook waits for a reader that does not read.
        panic::set_hook(Box::new(|panic| {
            let backtrace = Backtrace::capture();
            match backtrace.status() {
                BacktraceStatus::Captured => {
                    tracing::error!(%panic, %backtrace, "a thread panicked")
                }
                _ => tracing::error!(%panic, "a thread panicked"),
            }
        }));
    }
}

/// Log lines that could not be written since the start.
pub(super) fn lost() -> u64 {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner).lost
}

static OUTPUT: Mutex<Output> = Mutex::new(Output {
    stalled: false,
    lost: 0,
});

/// Standard error as a writer of lines that never fails.
struct StandardError;

impl io::Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        OUTPUT
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(io::stderr().as_fd(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is known of a reader of lines.
#[derive(Default)]
struct Output {
    /// The last line found no reader that reads.
    stalled: bool,
    lost: u64,
}

impl Output {
    fn put(&mut self, to: BorrowedFd<'_>, line: &[u8]) {
        let patience = if self.stalled {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let outcome = write(to, line, patience);
        self.stalled = outcome == Err(Errno::TIMEDOUT);
        if outcome.is_err() {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// Writes a line piece by piece, each only when it will be taken at once.
fn write(to: BorrowedFd<'_>, mut line: &[u8], patience: Duration) -> Result<(), Errno> {
    let patience = Timespec::try_from(patience).map_err(|_| Errno::INVAL)?;
    while !line.is_empty() {
        let mut ready = [PollFd::new(&to, PollFlags::OUT)];
        if retry_on_intr(|| poll(&mut ready, Some(&patience)))? == 0 {
            return Err(Errno::TIMEDOUT);
        }
        let piece = &line[..line.len().min(PIECE_BYTES)];
        let written = retry_on_intr(|| rustix::io::write(to, piece))?;
        if written == 0 {
            return Err(Errno::NOSPC);
        }
        line = &line[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Instant};

    use super::*;

    #[test]
    fn a_reader_that_does_not_read_delays_one_line_and_loses_the_others_until_it_reads() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = Output::default();
        let line = [b'x'; 10_000];
        let started = Instant::now();
        for _ in 0..1_000 {
            output.put(writer.as_fd(), &line);
        }
        assert!(started.elapsed() < PATIENCE * 10, "{:?}", started.elapsed());
        assert!(output.lost > 900, "{} lost", output.lost);
        let lost = output.lost;
        let mut room = vec![0; 64 * 1024];
        let read = reader.read(&mut room).unwrap();
        assert!(read > PIECE_BYTES, "{read}");
        output.put(writer.as_fd(), b"here again\n");
        assert_eq!(output.lost, lost);
    }

    #[test]
    fn a_reader_that_went_away_loses_the_line_only() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut output = Output::default();
        output.put(writer.as_fd(), b"nobody reads this\n");
        assert_eq!((output.lost, output.stalled), (1, false));
    }
}

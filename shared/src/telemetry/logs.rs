//! One log subscriber on standard error.

use tracing_subscriber::EnvFilter;

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

/// Installs the process's subscriber. A second call changes nothing.
pub fn init(settings: &LogSettings) {
    // The OpenTelemetry SDK logs one line for each dropped batch; its warnings are enough.
    let filter = EnvFilter::new(&settings.filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let outcome = if settings.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
    // Tests start several services in one process; the first one's subscriber serves all.
    drop(outcome);
}

//! `loadtest stack up`: a stack for as long as somebody wants it.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Client, GatewayUrls, ProcessInfo, Stack, StackError, StackOptions};
use crate::{
    console::{print, tell},
    interrupt,
};

/// How long the parts may drain: the services' own limit of 10 s and a little more.
const DRAIN: Duration = Duration::from_secs(12);
/// How often ended children are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// What the ready file says.
#[derive(Serialize)]
struct Ready {
    /// The first gateway.
    gateway: String,
    gateway_admin: String,
    gateways: Vec<GatewayUrls>,
    /// The first auth service.
    auth: String,
    auths: Vec<String>,
    redis: String,
    pools: BTreeMap<String, Vec<String>>,
    processes: Vec<ProcessInfo>,
    clients: Vec<Client>,
}

impl Ready {
    fn of(stack: &Stack) -> Self {
        Self {
            gateway: stack.gateway_url.clone(),
            gateway_admin: stack.gateway_admin_url.clone(),
            gateways: stack.gateways.clone(),
            auth: stack.auth_url.clone(),
            auths: stack.auth_urls.clone(),
            redis: stack.redis_url.clone(),
            pools: stack.pools.clone(),
            processes: stack.processes_info(),
            clients: stack.clients.clone(),
        }
    }
}

/// The ready file: there when the stack is ready, whole or not at all, and gone when it has ended. It
/// holds secrets, and only its owner may read it.
struct ReadyFile {
    path: PathBuf,
    /// Beside it, until it is written.
    unwritten: Option<NamedTempFile>,
    /// Device and number of what was written: another stack may have put its own in the place.
    written: Option<(u64, u64)>,
}

impl ReadyFile {
    /// Before anything is started, so that a folder that cannot be written costs no time. What an
    /// earlier stack left there is removed: nobody shall take it for this one's.
    fn begin(path: &Path) -> Result<Self, StackError> {
        let failed = || StackError::system(format!("writing {}", path.display()));
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Only its owner may read what tempfile makes.
        let unwritten = NamedTempFile::new_in(folder).map_err(failed())?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed()(error)),
            _ => {}
        }
        Ok(Self {
            path: path.to_owned(),
            unwritten: Some(unwritten),
            written: None,
        })
    }

    fn write(&mut self, ready: &Ready) -> Result<(), StackError> {
        let Some(mut file) = self.unwritten.take() else {
            return Ok(());
        };
        let mut write = || -> std::io::Result<(u64, u64)> {
            let text = serde_json::to_string_pretty(ready)? + "\n";
            file.write_all(text.as_bytes())?;
            let data = file.as_file().metadata()?;
            Ok((data.dev(), data.ino()))
        };
        let written = write().and_then(|written| {
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(written)
        });
        let what = format!("writing {}", self.path.display());
        self.written = Some(written.map_err(StackError::system(what))?);
        Ok(())
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let there = fs::metadata(&self.path).map(|data| (data.dev(), data.ino()));
        if self.written.is_some() && there.ok() == self.written {
            // Whoever removed it before did what is done here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Starts a stack, says how to use it, and ends it on SIGINT or SIGTERM. A child that ends is
/// reported and stays dead, so that a fault can be made by hand and undone by hand. A stack whose
/// addresses nobody reads, as of a pipe that is closed, ends at once: send them to `/dev/null` to have
/// the ready file only.
///
/// # Errors
///
/// The stack does not start, or the ready file cannot be written.
pub async fn up(options: StackOptions, ready_file: Option<&Path>) -> Result<ExitCode, StackError> {
    let mut signals = Signals::install()?;
    let mut ready_file = ready_file.map(ReadyFile::begin).transpose()?;

    let cancel = options.interrupt.clone();
    let mut starting = tokio::task::spawn_blocking(move || Stack::start(options));
    let outcome = tokio::select! {
        outcome = &mut starting => outcome,
        code = signals.ended() => {
            cancel.cancel();
            // What was started is ended by the failing start.
            drop(starting.await);
            return Ok(code);
        }
    };
    let stack = outcome
        .map_err(std::io::Error::other)
        .map_err(StackError::system("starting the stack"))??;
    if let Some(file) = &mut ready_file {
        file.write(&Ready::of(&stack))?;
    }
    let announcement = announcement(&stack, ready_file.as_ref().map(|file| file.path.as_path()));
    let read = print(&announcement).unwrap_or_else(|error| {
        tell(format_args!(
            "the addresses could not be written to standard output: {error}"
        ));
        true
    });
    let code = if read {
        until_ended(&mut signals, &stack).await
    } else {
        // Whoever started it has gone, and nobody else would end it.
        tell("nobody reads the addresses on standard output");
        ExitCode::FAILURE
    };
    tell("ending every process");
    // The addresses are good for nothing from here on.
    drop(ready_file);
    let ending = tokio::task::spawn_blocking(move || stack.stop(DRAIN));
    for (name, status) in ending.await.unwrap_or_default() {
        if !status.success() {
            tell(format_args!("{name}: {status}"));
        }
    }
    Ok(code)
}

/// Reports children that end, until a signal ends the stack.
async fn until_ended(signals: &mut Signals, stack: &Stack) -> ExitCode {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            code = signals.ended() => return code,
            _ = look.tick() => report_ended(stack),
        }
    }
}

/// What ends a stack: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is closed.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn install() -> Result<Self, StackError> {
        let handler =
            |kind| signal(kind).map_err(StackError::system("installing a signal handler"));
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
            hang_up: handler(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    async fn ended(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => interrupt::exit_code(),
            _ = self.hang_up.recv() => interrupt::exit_code(),
            _ = self.terminate.recv() => ExitCode::SUCCESS,
        }
    }
}

fn report_ended(stack: &Stack) {
    for (name, status) in stack.newly_ended() {
        tell(format_args!("{name} ended: {status}"));
    }
}

/// The addresses, and what to try.
fn announcement(stack: &Stack, ready_file: Option<&Path>) -> String {
    let gateway = &stack.gateway_url;
    let mut lines = Vec::new();
    for GatewayUrls { url, admin } in &stack.gateways {
        lines.push(format!("gateway  {url}"));
        lines.push(format!("         {admin}/pools and /metrics"));
    }
    for ProcessInfo { name, pid, url } in stack.processes_info() {
        lines.push(format!("{name:<16} {url:<28} pid {pid}"));
    }
    lines.extend(ready_file.map(|path| format!("written to {}", path.display())));
    lines.push("\ntry:".to_owned());
    let json = "-H 'content-type: application/json'";
    let user = r#""username":"ada","password":"correct horse battery""#;
    lines.push(format!(
        "  curl -i {gateway}/auth/register {json} -d '{{{user}}}'"
    ));
    for credential in ["token", "session"] {
        lines.push(format!(
            r#"  curl -i {gateway}/auth/login {json} -d '{{{user},"credential":"{credential}"}}'"#
        ));
    }
    for strategy in stack.pools.keys() {
        lines.push(format!(
            "  curl -i {gateway}/{strategy}/me -H 'authorization: Bearer CREDENTIAL'"
        ));
    }
    lines.push("\nCtrl-C ends every process.\n".to_owned());
    lines.join("\n")
}

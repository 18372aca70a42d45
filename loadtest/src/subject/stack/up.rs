//! `loadtest stack up`: a stack for as long as somebody wants it.

use std::{collections::BTreeMap, path::Path, process::ExitCode, time::Duration};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{Client, ProcessInfo, Stack, StackError, StackOptions};
use crate::results::write_secret;

/// Exit code after Ctrl-C: 128 + SIGINT, as shells count.
const EXIT_INTERRUPTED: u8 = 130;
/// How long the parts may drain: the services' own limit of 10 s and a little more.
const DRAIN: Duration = Duration::from_secs(12);
/// How often ended children are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// What the ready file says.
#[derive(Debug, Serialize)]
pub struct Ready {
    gateway: String,
    gateway_admin: String,
    auth: String,
    redis: String,
    pools: BTreeMap<String, Vec<String>>,
    processes: Vec<ProcessInfo>,
    clients: Vec<Client>,
}

impl Ready {
    /// The addresses and processes of a stack.
    #[must_use]
    pub fn of(stack: &Stack) -> Self {
        Self {
            gateway: stack.gateway_url.clone(),
            gateway_admin: stack.gateway_admin_url.clone(),
            auth: stack.auth_url.clone(),
            redis: stack.redis_url.clone(),
            pools: stack.pools.clone(),
            processes: stack.processes_info(),
            clients: stack.clients.clone(),
        }
    }

    /// Writes the ready file, whole or not at all. It holds secrets, and only its owner may read it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StackError> {
        let failed = || StackError::system(format!("writing {}", path.display()));
        let text = serde_json::to_string_pretty(self)
            .map_err(std::io::Error::from)
            .map_err(failed())?;
        write_secret(path, &(text + "\n")).map_err(failed())
    }
}

/// Starts a stack, says how to use it, and ends it on SIGINT or SIGTERM. A child that ends is
/// reported and stays dead, so that a fault can be made by hand and undone by hand.
///
/// # Errors
///
/// The stack does not start, or the ready file cannot be written.
pub async fn up(options: StackOptions, ready_file: Option<&Path>) -> Result<ExitCode, StackError> {
    let handler = |kind| signal(kind).map_err(StackError::system("installing a signal handler"));
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;

    let cancel = options.interrupt.clone();
    let mut starting = tokio::task::spawn_blocking(move || Stack::start(options));
    let outcome = tokio::select! {
        outcome = &mut starting => outcome,
        code = ended(&mut interrupt, &mut terminate) => {
            cancel.cancel();
            // What was started is ended by the failing start.
            drop(starting.await);
            return Ok(code);
        }
    };
    let stack = outcome
        .map_err(std::io::Error::other)
        .map_err(StackError::system("starting the stack"))??;
    if let Some(path) = ready_file {
        Ready::of(&stack).write(path)?;
    }
    announce(&stack, ready_file);

    let mut look = tokio::time::interval(LOOK);
    let code = loop {
        tokio::select! {
            code = ended(&mut interrupt, &mut terminate) => break code,
            _ = look.tick() => report_ended(&stack),
        }
    };
    eprintln!("ending every process");
    let ending = tokio::task::spawn_blocking(move || stack.stop(DRAIN));
    for (name, status) in ending.await.unwrap_or_default() {
        if !status.success() {
            eprintln!("{name}: {status}");
        }
    }
    Ok(code)
}

async fn ended(
    interrupt: &mut tokio::signal::unix::Signal,
    terminate: &mut tokio::signal::unix::Signal,
) -> ExitCode {
    tokio::select! {
        _ = interrupt.recv() => ExitCode::from(EXIT_INTERRUPTED),
        _ = terminate.recv() => ExitCode::SUCCESS,
    }
}

fn report_ended(stack: &Stack) {
    for (name, status) in stack.newly_ended() {
        eprintln!("{name} ended: {status}");
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the addresses are the output of this command"
)]
fn announce(stack: &Stack, ready_file: Option<&Path>) {
    let gateway = &stack.gateway_url;
    println!("gateway  {gateway}");
    println!("         {}/pools and /metrics", stack.gateway_admin_url);
    for process in stack.processes_info() {
        println!(
            "{:<16} {:<28} pid {}",
            process.name, process.url, process.pid
        );
    }
    if let Some(path) = ready_file {
        println!("written to {}", path.display());
    }
    println!("\ntry:");
    let json = "-H 'content-type: application/json'";
    println!(
        r#"  curl -i {gateway}/auth/register {json} -d '{{"username":"ada","password":"correct horse battery"}}'"#
    );
    for credential in ["token", "session"] {
        println!(
            r#"  curl -i {gateway}/auth/login {json} -d '{{"username":"ada","password":"correct horse battery","credential":"{credential}"}}'"#
        );
    }
    for strategy in stack.pools.keys() {
        println!("  curl -i {gateway}/{strategy}/me -H 'authorization: Bearer CREDENTIAL'");
    }
    println!("\nCtrl-C ends every process.");
}

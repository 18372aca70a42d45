//! The auth-service as a process: configuration, logs, listener, exit code.

use std::process::ExitCode;

use auth_service::{Config, config::Task, restore_administrator, run};
use shared::{clock::Clock, config, healthcheck, listen, shutdown, telemetry::logs};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    if let Some(code) = healthcheck::requested() {
        return code;
    }
    shutdown::run(Builder::new_multi_thread(), serve())
}

async fn serve() -> ExitCode {
    let (config, strays) = match config::load(Config::check) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logs::init(&config.telemetry.logs);
    strays.tell();
    let outcome = match config.task {
        None => start(config).await,
        Some(Task::RestoreAdministrator) => restore_administrator(config, &Clock::system())
            .await
            .map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!("auth-service: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: Config) -> Result<(), String> {
    // Before anybody can connect: whoever sees it listen may tell it to stop.
    let shutdown = shutdown::on_signal().map_err(|error| format!("no signals: {error}"))?;
    let listener = listen::bind(config.listen).map_err(|error| {
        format!(
            "cannot listen on {}: {error}; set AUTH_LISTEN to a free address",
            config.listen
        )
    })?;
    run(config, listener, Clock::system(), shutdown)
        .await
        .map_err(|error| error.to_string())
}

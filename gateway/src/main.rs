//! The gateway's process: configuration, logs, listener, run, exit code.

use std::process::ExitCode;

use shared::{clock::Clock, config, healthcheck, listen, shutdown, telemetry::logs};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    if let Some(code) = healthcheck::requested() {
        return code;
    }
    // The control plane needs one thread; the data path starts its own.
    shutdown::run(Builder::new_current_thread(), serve())
}

async fn serve() -> ExitCode {
    let (config, strays) = match config::load(gateway::config::check) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logs::init(&config.telemetry.logs);
    strays.tell();
    match start(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!("gateway: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: gateway::Config) -> Result<(), String> {
    // Before anybody can connect: whoever sees it listen may tell it to stop.
    let token = shutdown::on_signal().map_err(|error| format!("cannot watch signals: {error}"))?;
    let listener = listen::bind(config.listen).map_err(|error| {
        format!(
            "cannot listen on {}: {error}; set GATEWAY_LISTEN to a free address",
            config.listen
        )
    })?;
    gateway::run(config, listener, Clock::system(), token)
        .await
        .map_err(|error| error.to_string())
}

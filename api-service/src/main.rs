//! The `api-service` binary: configuration, listener, signals; the rest is the library.

use std::process::ExitCode;

use api_service::{Config, run};
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
    match start(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "api-service failed");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    // Before anybody can connect: whoever sees it listen may tell it to stop.
    let shutdown = shutdown::on_signal()?;
    let listener = listen::bind(config.listen)
        .map_err(|error| format!("cannot listen on {} (API_LISTEN): {error}", config.listen))?;
    run(config, listener, Clock::system(), shutdown).await?;
    Ok(())
}

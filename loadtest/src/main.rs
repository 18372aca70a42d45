//! `loadtest`: see `loadtest --help`.

use std::process::ExitCode;

use clap::Parser;

use loadtest::{cli, interrupt};

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) if cli::is_interrupt(&error) => interrupt::exit_code(),
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

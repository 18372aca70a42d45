//! `loadtest`: see `loadtest --help`.

use std::process::ExitCode;

use clap::Parser;

use loadtest::cli;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => cli::failed(&error),
    }
}

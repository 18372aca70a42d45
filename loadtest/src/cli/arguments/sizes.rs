//! The arguments of `loadtest sizes`.

use std::path::PathBuf;

use clap::Args;

use super::{SystemArgs, rate};

/// More names than any service takes for one user.
const MOST_ROLES: u32 = 100_000;
/// More bytes than any service takes for one login.
const MOST_BYTES: f64 = 10e6;

#[derive(Debug, Args)]
#[command(mut_arg("strategies", |strategy| strategy.help(
    "A strategy; can be given several times [default: jwt, jwt-remembered, session and session-cached]"
)))]
pub(in crate::cli) struct SizesArgs {
    #[command(flatten)]
    pub(in crate::cli) system: SystemArgs,
    /// Roles of a user, in a token or in the record of a session
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "10,100,1000", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ROLES)))]
    pub(in crate::cli) roles: Vec<u32>,
    /// Bytes of the data of a login, in the record of its session or sealed in a header; 3k is 3,000
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "0.3k,3k,30k", value_parser = bytes)]
    pub(in crate::cli) record: Vec<u64>,
    /// Requests per second, of one strategy and size at a time
    #[arg(long, value_name = "R", default_value_t = 1_000.0, value_parser = rate)]
    pub(in crate::cli) rate: f64,
    /// Below three minutes for the default strategies, with wider intervals; the output says what is left out
    #[arg(long)]
    pub(in crate::cli) quick: bool,
    /// Where results.json, report.html and junit.xml go
    #[arg(long, value_name = "DIR", default_value = "statewise-results")]
    pub(in crate::cli) out: PathBuf,
    /// The same seed gives the same order and the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.trim().strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => (text.trim(), 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if (1.0..=MOST_BYTES).contains(&(number * factor)) => {
            Ok((number * factor).round() as u64)
        }
        _ => Err("a number of bytes from 1, such as 300 or 0.3k, is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_in_bytes_or_in_thousands_of_them() {
        assert_eq!(bytes("300"), Ok(300));
        assert_eq!(bytes("0.3k"), Ok(300));
        assert_eq!(bytes(" 30K "), Ok(30_000));
        for none in ["", "k", "0", "-1", "0.1", "1e9", "NaN", "3m"] {
            assert!(bytes(none).is_err(), "{none}");
        }
    }
}

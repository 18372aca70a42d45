//! Configuration from the environment: read once, checked whole, every fault reported together.
//!
//! Each binary declares its variables with clap, so `--help` is the reference. A field of type
//! [`Given`] has the variable's name from clap, its type, and what is wrong with its text; one
//! function makes the configuration of the fields and collects [`Faults`]. Nothing else reads the
//! environment.

mod given;
mod strays;

use std::{
    env,
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
};

use clap::Parser;
use secrecy::{ExposeSecret, SecretBox, zeroize::Zeroize};

pub use self::{
    given::{Given, GivenParser, Setting, Threads},
    strays::Strays,
};

/// `EX_USAGE` of `sysexits.h`: the command was used incorrectly. Every Statewise service ends with
/// it when its configuration is wrong.
pub const EXIT_CONFIG: u8 = 64;

/// A value that must not be printed: `Debug` says only that there is one, and there is no `Display`.
/// Its memory is overwritten when it is dropped.
pub struct Secret<T: Zeroize>(SecretBox<T>);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(SecretBox::new(Box::new(value)))
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &T {
        self.0.expose_secret()
    }
}

/// Settings are compared at start, so that strategies of equal settings share what they hold. Not for
/// what a caller presents: the time that it takes depends on the values.
impl<T: Zeroize + PartialEq> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl<T: Zeroize + Eq> Eq for Secret<T> {}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self::new(self.expose().clone())
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize + FromStr> FromStr for Secret<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::new)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Keeps the value of a check that passed; notes the variable and the reason of one that did not.
    pub fn check<T, E: Display>(&mut self, variable: &str, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(reason) => {
                self.add(variable, reason);
                None
            }
        }
    }

    /// Notes one fault.
    pub fn add(&mut self, variable: &str, reason: impl Display) {
        self.0.push(format!("{variable}: {reason}"));
    }

    /// Adds what another check has found, but for what is noted here already: two checks may have a
    /// variable in common.
    pub fn merge(&mut self, other: Self) {
        for fault in other.0 {
            if !self.0.contains(&fault) {
                self.0.push(fault);
            }
        }
    }

    /// Whether anything was wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}

/// An absolute URL with one of the given schemes and a host.
///
/// # Errors
///
/// What is not so.
pub fn url(text: &str, schemes: &[&str]) -> Result<url::Url, String> {
    let url = url::Url::parse(text).map_err(|error| format!("not a URL ({error})"))?;
    if !schemes.contains(&url.scheme()) {
        Err(format!("its scheme must be one of {}", schemes.join(", ")))
    } else if url.host().is_none() && url.scheme() != "redis+unix" {
        Err("it names no host".to_owned())
    } else {
        Ok(url)
    }
}

/// Parses arguments and environment into `Raw` and checks them into a configuration. Beside it are
/// the variables that are for nothing, to be told when there is a log.
///
/// # Errors
///
/// The exit code to end with, after saying on standard error what is wrong: all faults of `check`
/// at once, or clap's own message. `--help` and `--version` end with success.
pub fn load<Raw: Parser, Config>(
    check: impl FnOnce(Raw, &mut Faults) -> Option<Config>,
) -> Result<(Config, Strays), ExitCode> {
    let raw = Raw::try_parse().map_err(|error| {
        // A closed standard error leaves nobody to tell.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(EXIT_CONFIG)
        } else {
            ExitCode::SUCCESS
        }
    })?;
    let mut faults = Faults::default();
    match check(raw, &mut faults) {
        Some(config) if faults.is_empty() => {
            let names = env::vars_os().map(|(name, _)| name);
            Ok((config, Strays::of(&Raw::command(), names)))
        }
        _ => {
            let name = Raw::command().get_name().to_owned();
            let told = format!("{name}: the configuration is wrong:\n{faults}See {name} --help.");
            let _ = writeln!(io::stderr(), "{told}");
            Err(ExitCode::from(EXIT_CONFIG))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_kept_with_its_variable() {
        let mut faults = Faults::default();
        assert_eq!(faults.check("A_TTL", Err::<u8, _>("is zero")), None);
        assert_eq!(faults.check("B_TTL", Ok::<_, String>(15)), Some(15));
        faults.add("C_PORT", "is not a port");
        let text = faults.to_string();
        assert_eq!(text, "  A_TTL: is zero\n  C_PORT: is not a port\n");
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2".to_owned())),
            "[secret]"
        );
    }

    #[test]
    fn a_url_needs_a_known_scheme_and_a_host() {
        assert!(url("ftp://host/", &["http"]).is_err());
        assert!(url("http:///path", &["redis"]).is_err());
        assert!(url("http://host/", &["http"]).is_ok());
    }
}

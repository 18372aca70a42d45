//! The value of one variable, which knows the variable's name.

use std::{ffi::OsStr, fmt::Display, marker::PhantomData, net::SocketAddr, path::PathBuf};
use std::{
    num::{NonZeroU16, NonZeroUsize},
    thread::available_parallelism,
    time::Duration,
};

use clap::{
    Arg, Command,
    builder::{TypedValueParser, ValueParserFactory},
};

use super::{Faults, Secret};

/// The most threads of one kind: they are all started at once.
const MOST_THREADS: usize = 1024;

/// A type that the text of a variable can have.
pub trait Setting: Clone + Send + Sync + 'static {
    /// Reads the text.
    ///
    /// # Errors
    ///
    /// Why the text is not of this type, as the end of a sentence that begins with the variable's
    /// name. The message of a secret must not repeat the text.
    fn read(text: &str) -> Result<Self, String>;
}

/// What a variable, or its option on the command line, says: a value, or a fault that is reported
/// with the variable's name when somebody asks for the value.
///
/// The type of a field of a clap struct. The name stands in the field's `#[arg(env = "…")]` only:
/// clap hands it to the parser. Set but empty, it is unset: the default holds. A variable that may be
/// unset is a `Given<Option<T>>` with `default_value = "", hide_default_value = true`.
#[derive(Clone, Debug)]
pub struct Given<T> {
    variable: String,
    outcome: Result<T, String>,
}

impl<T: Clone> Given<T> {
    /// The variable's name.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// The value, or `None` after noting why there is none.
    pub fn value(&self, faults: &mut Faults) -> Option<T> {
        self.checked(faults, Ok::<_, String>)
    }

    /// What a rule makes of the value, or `None` after noting why it makes nothing of it.
    pub fn checked<U, E: Display>(
        &self,
        faults: &mut Faults,
        rule: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        match self.outcome.clone() {
            Ok(value) => faults.check(&self.variable, rule(value)),
            Err(reason) => faults.check(&self.variable, Err(reason)),
        }
    }

    /// As [`Given::checked`], of a rule that finds any number of faults.
    pub fn checked_all<U, E: Display>(
        &self,
        faults: &mut Faults,
        rule: impl FnOnce(T) -> Result<U, Vec<E>>,
    ) -> Option<U> {
        match rule(self.value(faults)?) {
            Ok(value) => Some(value),
            Err(found) => {
                for fault in found {
                    faults.add(&self.variable, fault);
                }
                None
            }
        }
    }
}

impl Given<Duration> {
    /// The value, which must be longer than zero.
    pub fn positive(&self, faults: &mut Faults) -> Option<Duration> {
        self.checked(faults, |duration| {
            if duration.is_zero() {
                Err("must be longer than zero")
            } else {
                Ok(duration)
            }
        })
    }
}

/// A number of threads: from 1 to 1024, or one for each core where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub usize);

impl Setting for Threads {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(available_parallelism().map_or(1, usize::from)));
        }
        match usize::read(text)? {
            count @ 1..=MOST_THREADS => Ok(Self(count)),
            _ => Err(format!(
                "must be a number of threads from 1 to {MOST_THREADS}"
            )),
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::read(text).map(Some)
        }
    }
}

impl Setting for Duration {
    fn read(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|error| {
            format!("{text:?} is not a duration with a unit, such as 250ms, 30s or 15m ({error})")
        })
    }
}

impl Setting for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

impl Setting for Secret<String> {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::new(text.to_owned()))
    }
}

/// [`Setting`] by [`std::str::FromStr`], with the words for what the text should have been.
macro_rules! from_str {
    ($($type:ty: $wanted:literal),* $(,)?) => {$(
        impl Setting for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!(concat!("{:?} is not ", $wanted), text))
            }
        }
    )*};
}

from_str! {
    SocketAddr: "an address and a port, such as 127.0.0.1:8080",
    bool: "true or false",
    u32: "a whole number",
    u64: "a whole number",
    usize: "a whole number",
    NonZeroU16: "a port, 1 to 65535",
    NonZeroUsize: "a whole number from 1",
    f64: "a number such as 0.05",
}

impl<T: Setting> ValueParserFactory for Given<T> {
    type Parser = GivenParser<T>;

    fn value_parser() -> Self::Parser {
        GivenParser(PhantomData)
    }
}

/// clap's way to a [`Given`]; never fails, so that all faults are found.
#[derive(Clone, Debug)]
pub struct GivenParser<T>(PhantomData<fn() -> T>);

impl<T: Setting> TypedValueParser for GivenParser<T> {
    type Value = Given<T>;

    fn parse_ref(
        &self,
        _: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let variable = arg.and_then(Arg::get_env).unwrap_or_default();
        let default = arg.and_then(|arg| arg.get_default_values().first());
        // Compose files and shells hand on an unset variable as an empty one.
        let value = match default {
            Some(default) if value.is_empty() => default.as_os_str(),
            _ => value,
        };
        Ok(Given {
            variable: variable.to_string_lossy().into_owned(),
            outcome: value
                .to_str()
                .ok_or_else(|| "is not text in UTF-8".to_owned())
                .and_then(T::read),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Args {
        #[arg(long, env = "GIVEN_TEST_TTL", default_value = "15m")]
        ttl: Given<Duration>,
        #[arg(
            long,
            env = "GIVEN_TEST_NAME",
            default_value = "",
            hide_default_value = true
        )]
        name: Given<Option<String>>,
        #[arg(
            long,
            env = "GIVEN_TEST_WORKERS",
            default_value = "",
            hide_default_value = true
        )]
        workers: Given<Threads>,
        #[arg(long, env = "GIVEN_TEST_KEY", default_value = "")]
        key: Given<Secret<String>>,
    }

    fn args(options: &[&str]) -> Args {
        Args::try_parse_from([&["test"], options].concat()).unwrap()
    }

    #[test]
    fn a_value_is_typed_and_a_fault_names_the_variable() {
        let mut faults = Faults::default();
        assert_eq!(
            args(&[]).ttl.positive(&mut faults),
            Some(Duration::from_secs(900))
        );
        assert!(faults.is_empty());
        assert_eq!(args(&["--ttl=15"]).ttl.value(&mut faults), None);
        assert_eq!(args(&["--ttl=0s"]).ttl.positive(&mut faults), None);
        let text = faults.to_string();
        assert!(
            text.contains("GIVEN_TEST_TTL: \"15\" is not a duration"),
            "{text}"
        );
        assert!(
            text.contains("GIVEN_TEST_TTL: must be longer than zero"),
            "{text}"
        );
    }

    #[test]
    fn what_is_empty_is_unset() {
        let mut faults = Faults::default();
        assert_eq!(args(&["--name="]).name.value(&mut faults), Some(None));
        assert_eq!(args(&[]).name.value(&mut faults), Some(None));
        let name = args(&["--name=ada"]).name.value(&mut faults);
        assert_eq!(name, Some(Some("ada".to_owned())));
        let ttl = args(&["--ttl="]).ttl.value(&mut faults);
        assert_eq!(ttl, Some(Duration::from_secs(900)), "the default holds");
        assert!(faults.is_empty());
    }

    #[test]
    fn threads_are_as_many_as_cores_unless_a_number_is_given() {
        let mut faults = Faults::default();
        assert!(args(&[]).workers.value(&mut faults).unwrap().0 >= 1);
        let three = args(&["--workers=3"]).workers.value(&mut faults);
        assert_eq!(three, Some(Threads(3)));
        assert!(faults.is_empty());
        for wrong in ["--workers=0", "--workers=1025", "--workers=many"] {
            assert_eq!(args(&[wrong]).workers.value(&mut faults), None, "{wrong}");
        }
        assert_eq!(faults.to_string().matches("GIVEN_TEST_WORKERS").count(), 3);
    }

    #[test]
    fn several_faults_of_one_list_are_all_reported() {
        let mut faults = Faults::default();
        let none = args(&["--name=a,b"]).name.checked_all(&mut faults, |_| {
            Err::<(), _>(vec!["a is none", "b is none"])
        });
        assert_eq!(none, None);
        assert_eq!(faults.to_string().matches("GIVEN_TEST_NAME").count(), 2);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let given = args(&["--key=hunter2"]).key;
        assert!(!format!("{given:?}").contains("hunter2"));
    }
}

//! Reading an expression: its form first, then what it names.

use std::fmt;

use super::{
    Measurable, Operator, Threshold, Unit,
    figures::{self, FIGURES, Of, Subject},
};
use crate::{
    metrics::{self, METRICS, Metric},
    report::numbers,
    results::RevocationKind,
};

/// An expression that cannot be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseError {
    /// The expression.
    pub expression: String,
    /// Where, in bytes from its begin.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Something else has to stand here.
    #[error("{0} is needed here")]
    Expected(&'static str),
    /// A name that nobody knows.
    #[error("{name:?} is no {what}; known are {known}")]
    Unknown {
        /// As it was given.
        name: String,
        /// What it should be one of.
        what: &'static str,
        /// Which there are.
        known: String,
    },
    /// A name with brackets that are not its own.
    #[error("it is written {0}")]
    Arguments(String),
    /// A limit without a unit where there has to be one.
    #[error("a unit is missing: {0}")]
    MissingUnit(&'static str),
    /// A unit of something else.
    #[error("this unit does not fit: {0}")]
    WrongUnit(&'static str),
    /// A share that cannot be.
    #[error("a share is from 0 to 1, or from 0% to 100%")]
    NoShare,
    /// A load where there is none.
    #[error("no load can be named here: {0}")]
    NoLoad(&'static str),
    /// A load that is not measured.
    #[error("this load is not measured; measured are {0}")]
    UnknownLoad(String),
    /// Two arms of which neither is the baseline, or twice the same.
    #[error("one of both arms must be the baseline, which is {0}, and the other another")]
    NoBaseline(String),
    /// It is known beforehand that it will not be measured.
    #[error("this run does not measure it: {0}")]
    NotMeasured(&'static str),
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.expression[..self.at].chars().count();
        write!(out, "{}\n{:before$}^ {}", self.expression, "", self.problem)
    }
}

impl std::error::Error for ParseError {}

/// A piece of the expression and where it stands.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    text: &'a str,
    at: usize,
}

type Fault = (usize, Problem);

pub(super) fn threshold(expression: &str, known: &Measurable) -> Result<Threshold, ParseError> {
    read(expression, known).map_err(|(at, problem)| ParseError {
        expression: expression.to_owned(),
        at,
        problem,
    })
}

fn read(expression: &str, known: &Measurable) -> Result<Threshold, Fault> {
    let mut reader = Reader {
        text: expression,
        at: 0,
    };
    let name = reader.name("a metric, such as p99,")?;
    let load = match reader.accept('@') {
        true => Some(reader.name("a load, such as 0.6,")?),
        false => None,
    };
    reader.expect('(', "(")?;
    let mut arguments = vec![reader.name("a name")?];
    while reader.accept(',') {
        arguments.push(reader.name("a name")?);
    }
    reader.expect(')', ", or )")?;
    let operator = reader.operator()?;
    let limit = Word {
        text: reader.rest().trim_end(),
        at: reader.at,
    };
    let subject = subject(name, load, &arguments, known)?;
    let (limit, unit) = limit_of(limit, subject.unit())?;
    Ok(Threshold {
        expression: expression.to_owned(),
        subject,
        operator,
        limit,
        unit,
    })
}

/// Takes pieces from the front.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char, told: &'static str) -> Result<(), Fault> {
        match self.accept(wanted) {
            true => Ok(()),
            false => Err((self.at, Problem::Expected(told))),
        }
    }

    /// Letters, digits and what else names and loads have.
    fn name(&mut self, told: &'static str) -> Result<Word<'a>, Fault> {
        let rest = self.rest();
        let is_part = |char: char| char.is_alphanumeric() || "_-.".contains(char);
        let length = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        let word = Word {
            text: &rest[..length],
            at: self.at,
        };
        self.at += length;
        match length {
            0 => Err((word.at, Problem::Expected(told))),
            _ => Ok(word),
        }
    }

    fn operator(&mut self) -> Result<Operator, Fault> {
        // The longer ones first.
        let operators = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (">", Operator::Above),
            ("<", Operator::Below),
        ];
        let rest = self.rest();
        let found = operators.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, operator) = found.ok_or((self.at, Problem::Expected(">, >=, < or <=")))?;
        self.at += sign.len();
        Ok(*operator)
    }
}

fn subject(
    name: Word<'_>,
    load: Option<Word<'_>>,
    arguments: &[Word<'_>],
    known: &Measurable,
) -> Result<Subject, Fault> {
    let count = |arguments: &str| arguments.split(',').count();
    let figure = FIGURES
        .iter()
        .find(|one| one.id == name.text && count(one.arguments) == arguments.len());
    let metric = metrics::named(name.text);
    match (figure, metric, arguments) {
        (Some(figure), _, [metric, above, below]) if matches!(figure.of, Of::Ratio) => {
            let (above, below) = (arm(*above, known)?, arm(*below, known)?);
            let baseline = known.arms.first().cloned().unwrap_or_default();
            if above == below || (above != baseline && below != baseline) {
                return Err((arguments[1].at, Problem::NoBaseline(baseline)));
            }
            Ok(Subject::Ratio {
                metric: metric_of(*metric)?,
                above,
                below,
                load: load_of(load, known)?,
            })
        }
        (Some(figure), ..) => {
            if let Some(load) = load {
                let why = "only metrics of windows and their ratios have one";
                return Err((load.at, Problem::NoLoad(why)));
            }
            let (under, of) = match (figure.of, arguments) {
                (Of::Fault(_), [fault, of]) => (Some(fault_of(*fault, name.at, known)?), of),
                (Of::Revocation(_), [kind, of]) => (Some(kind_of(*kind, name.at, known)?), of),
                (_, [of]) if known.highest_rates => (None, of),
                _ => {
                    let why = "no highest rate is looked for where the rate is given";
                    return Err((name.at, Problem::NotMeasured(why)));
                }
            };
            Ok(Subject::Figure {
                figure,
                under,
                arm: arm(*of, known)?,
            })
        }
        (None, Some(metric), [of]) => Ok(Subject::Metric {
            metric,
            arm: arm(*of, known)?,
            load: load_of(load, known)?,
        }),
        _ => Err((name.at, misnamed(name.text, metric))),
    }
}

/// Why no figure and no metric of that name takes what stands in the brackets.
fn misnamed(name: &str, metric: Option<&Metric>) -> Problem {
    let mut forms: Vec<String> = metric.iter().map(|_| format!("{name}(ARM)")).collect();
    let figures = FIGURES.iter().filter(|figure| figure.id == name);
    forms.extend(figures.map(|figure| format!("{name}({})", figure.arguments)));
    if forms.is_empty() {
        let mut names = aliases();
        let figures = FIGURES.iter().map(|figure| figure.id.to_owned());
        names.extend(figures.filter(|id| metrics::named(id).is_none()));
        return unknown(name, "metric", &names);
    }
    Problem::Arguments(forms.join(" or "))
}

fn aliases() -> Vec<String> {
    METRICS.iter().map(|one| one.alias.to_owned()).collect()
}

fn unknown(name: &str, what: &'static str, known: &[String]) -> Problem {
    Problem::Unknown {
        name: name.to_owned(),
        what,
        known: numbers::listed(known),
    }
}

fn metric_of(word: Word<'_>) -> Result<&'static Metric, Fault> {
    metrics::named(word.text).ok_or_else(|| (word.at, unknown(word.text, "metric", &aliases())))
}

fn arm(word: Word<'_>, known: &Measurable) -> Result<String, Fault> {
    one_of(word, "arm", &known.arms)
}

fn one_of(word: Word<'_>, what: &'static str, known: &[String]) -> Result<String, Fault> {
    match known.iter().any(|one| one == word.text) {
        true => Ok(word.text.to_owned()),
        false => Err((word.at, unknown(word.text, what, known))),
    }
}

fn fault_of(word: Word<'_>, at: usize, known: &Measurable) -> Result<String, Fault> {
    if known.faults.is_empty() {
        return Err((at, Problem::NotMeasured("no faults are made")));
    }
    one_of(word, "fault", &known.faults)
}

fn kind_of(word: Word<'_>, at: usize, known: &Measurable) -> Result<String, Fault> {
    if known.revocations.is_empty() {
        return Err((at, Problem::NotMeasured("nothing is revoked")));
    }
    let name = |kind: &RevocationKind| figures::name(*kind).to_owned();
    let kinds: Vec<String> = known.revocations.iter().map(name).collect();
    one_of(word, "kind of revocation", &kinds)
}

fn load_of(word: Option<Word<'_>>, known: &Measurable) -> Result<Option<f64>, Fault> {
    let Some(word) = word else {
        return Ok(None);
    };
    if known.loads.is_empty() {
        let why = "the rate was given, and is no share of the highest one";
        return Err((word.at, Problem::NoLoad(why)));
    }
    let wanted: Option<f64> = word.text.parse().ok();
    let is_wanted = |load: &&f64| wanted.is_some_and(|wanted| (wanted - **load).abs() < 1e-9);
    match known.loads.iter().find(is_wanted) {
        Some(load) => Ok(Some(*load)),
        None => {
            let loads: Vec<String> = known.loads.iter().map(f64::to_string).collect();
            Err((word.at, Problem::UnknownLoad(numbers::listed(&loads))))
        }
    }
}

/// The limit in the unit of what it is held against, and the unit in which it was given.
fn limit_of(word: Word<'_>, of: &str) -> Result<(f64, Unit), Fault> {
    const TIME: &str = "us, µs, ms or s";
    const SHARE: &str = "% or none";
    const NONE: &str = "a plain number is needed";
    let is_number = |char: char| char.is_ascii_digit() || "-.".contains(char);
    let length = word.text.find(|char| !is_number(char));
    let (number, rest) = word.text.split_at(length.unwrap_or(word.text.len()));
    let number: f64 = number
        .parse()
        .map_err(|_| (word.at, Problem::Expected("a limit, such as 5ms,")))?;
    let unit = rest.trim_start();
    let at = word.at + word.text.len() - unit.len();
    let (scale, unit) = match (of, unit) {
        ("µs", "us" | "µs" | "μs") => (1.0, Unit::Microseconds),
        ("µs", "ms") => (1e3, Unit::Milliseconds),
        ("µs", "s") => (1e6, Unit::Seconds),
        ("µs", "") => return Err((at, Problem::MissingUnit(TIME))),
        ("µs", _) => return Err((at, Problem::WrongUnit(TIME))),
        ("share", "%") => (0.01, Unit::Percent),
        (_, "") => (1.0, Unit::Plain),
        ("share", _) => return Err((at, Problem::WrongUnit(SHARE))),
        _ => return Err((at, Problem::WrongUnit(NONE))),
    };
    let limit = number * scale;
    if of == "share" && !(0.0..=1.0).contains(&limit) {
        return Err((word.at, Problem::NoShare));
    }
    Ok((limit, unit))
}

//! Formulas as data: built with operators, evaluated here, printed for a reader, and handed to the page as
//! nested lists.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Add, Div, Mul, Sub},
};

use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::figure::{End, Table};

/// A formula.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number.
    Number(f64),
    /// What has this name: something asked, a figure, or what an earlier formula gave.
    Name(&'static str),
    /// An operation.
    Of(Op, Vec<Expr>),
    /// The value of a measured curve at a place on its axis.
    At(&'static str, Box<Expr>),
}

/// An operation. A condition is 1 when it holds and 0 when not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient.
    Div,
    /// The smaller one.
    Min,
    /// The larger one.
    Max,
    /// The next whole number.
    Ceil,
    /// Whether the first is more than the second.
    More,
    /// The second where the first is not 0, and the third where it is.
    If,
}

impl Op {
    /// As the page reads it.
    fn code(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Min => "min",
            Self::Max => "max",
            Self::Ceil => "ceil",
            Self::More => ">",
            Self::If => "if",
        }
    }

    /// What binds more has a higher number; 0 is written as a function.
    fn precedence(self) -> u8 {
        match self {
            Self::Mul | Self::Div => 3,
            Self::Add | Self::Sub => 2,
            Self::More => 1,
            Self::Min | Self::Max | Self::Ceil | Self::If => 0,
        }
    }
}

/// What has this name.
pub(super) const fn name(name: &'static str) -> Expr {
    Expr::Name(name)
}

/// The value of a measured curve.
pub(super) fn at(curve: &'static str, place: impl Into<Expr>) -> Expr {
    Expr::At(curve, Box::new(place.into()))
}

pub(super) fn min(one: impl Into<Expr>, other: impl Into<Expr>) -> Expr {
    Expr::Of(Op::Min, vec![one.into(), other.into()])
}

pub(super) fn max(one: impl Into<Expr>, other: impl Into<Expr>) -> Expr {
    Expr::Of(Op::Max, vec![one.into(), other.into()])
}

pub(super) fn ceil(of: impl Into<Expr>) -> Expr {
    Expr::Of(Op::Ceil, vec![of.into()])
}

pub(super) fn more(one: impl Into<Expr>, than: impl Into<Expr>) -> Expr {
    Expr::Of(Op::More, vec![one.into(), than.into()])
}

pub(super) fn either(
    condition: impl Into<Expr>,
    then: impl Into<Expr>,
    otherwise: impl Into<Expr>,
) -> Expr {
    Expr::Of(
        Op::If,
        vec![condition.into(), then.into(), otherwise.into()],
    )
}

impl From<f64> for Expr {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

macro_rules! operator {
    ($($operation:ident, $method:ident;)*) => {
        $(impl<T: Into<Expr>> $operation<T> for Expr {
            type Output = Self;

            fn $method(self, other: T) -> Self {
                Self::Of(Op::$operation, vec![self, other.into()])
            }
        })*
    };
}

operator! {
    Add, add;
    Sub, sub;
    Mul, mul;
    Div, div;
}

/// What names and curves mean while formulas are evaluated.
pub(super) struct Scope<'a> {
    pub(super) names: BTreeMap<&'a str, f64>,
    pub(super) curves: BTreeMap<&'a str, &'a Table>,
    /// Which end of the curves' intervals counts.
    pub(super) end: End,
}

impl Expr {
    /// Its value; not a number where it names something that is not known.
    pub(super) fn value(&self, scope: &Scope<'_>) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => scope.names.get(name).copied().unwrap_or(f64::NAN),
            Self::At(curve, place) => scope
                .curves
                .get(curve)
                .map_or(f64::NAN, |curve| curve.at(place.value(scope), scope.end)),
            Self::Of(op, parts) => {
                let part = |index: usize| parts.get(index).map_or(f64::NAN, |one| one.value(scope));
                match op {
                    Op::Add => part(0) + part(1),
                    Op::Sub => part(0) - part(1),
                    Op::Mul => part(0) * part(1),
                    Op::Div => part(0) / part(1),
                    Op::Min => part(0).min(part(1)),
                    Op::Max => part(0).max(part(1)),
                    Op::Ceil => part(0).ceil(),
                    Op::More => f64::from(u8::from(part(0) > part(1))),
                    Op::If if part(0) != 0.0 => part(1),
                    Op::If => part(2),
                }
            }
        }
    }

    /// Every name and curve in it.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Name(name) => vec![name],
            Self::At(curve, place) => [vec![*curve], place.names()].concat(),
            Self::Of(_, parts) => parts.iter().flat_map(Self::names).collect(),
        }
    }

    fn binds(&self) -> u8 {
        match self {
            Self::Of(Op::If, _) => 0,
            Self::Of(op, _) if op.precedence() > 0 => op.precedence(),
            _ => 9,
        }
    }

    /// A part of something that binds with `around`, in parentheses where it needs them.
    fn part(&self, around: u8, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.binds() < around {
            write!(out, "({self})")
        } else {
            write!(out, "{self}")
        }
    }
}

/// As a reader writes it: `rate × api_us ÷ 1000000`.
impl fmt::Display for Expr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Name(name) => out.write_str(name),
            Self::At(curve, place) => write!(out, "{curve}({place})"),
            Self::Of(op, parts) => {
                let sign = match (op, parts.as_slice()) {
                    (Op::If, [condition, then, otherwise]) => {
                        return write!(out, "{then} if {condition} else {otherwise}");
                    }
                    (Op::Add, _) => " + ",
                    (Op::Sub, _) => " − ",
                    (Op::Mul, _) => " × ",
                    (Op::Div, _) => " ÷ ",
                    (Op::More, _) => " > ",
                    _ => {
                        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                        return write!(out, "{}({})", op.code(), parts.join(", "));
                    }
                };
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        out.write_str(sign)?;
                    }
                    // a − (b − c) and a ÷ (b ÷ c) need theirs.
                    let right = u8::from(index > 0 && matches!(op, Op::Sub | Op::Div));
                    part.part(op.precedence() + right, out)?;
                }
                Ok(())
            }
        }
    }
}

/// As the page reads it: a number, a name, or a list that begins with an operation.
impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Name(name) => serializer.serialize_str(name),
            Self::At(curve, place) => ("at", curve, place).serialize(serializer),
            Self::Of(op, parts) => {
                let mut list = serializer.serialize_seq(Some(parts.len() + 1))?;
                list.serialize_element(op.code())?;
                for part in parts {
                    list.serialize_element(part)?;
                }
                list.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_evaluated_printed_and_handed_on_as_the_same_thing() {
        let formula = name("rate") * (name("a") - (name("b") - 1.0)) / (name("b") / 2.0);
        assert_eq!(formula.to_string(), "rate × (a − (b − 1)) ÷ (b ÷ 2)");
        let scope = Scope {
            names: [("rate", 10.0), ("a", 5.0), ("b", 4.0)].into(),
            curves: BTreeMap::new(),
            end: End::Value,
        };
        assert_eq!(formula.value(&scope), 10.0);
        assert_eq!(
            serde_json::to_value(&formula).unwrap(),
            serde_json::json!([
                "/",
                ["*", "rate", ["-", "a", ["-", "b", 1.0]]],
                ["/", "b", 2.0]
            ])
        );
        assert!(name("unknown").value(&scope).is_nan());
        let nested = name("a") / either(more(name("b"), 1.0), 2.0, 3.0);
        assert_eq!(nested.to_string(), "a ÷ (2 if b > 1 else 3)");
        assert_eq!(
            either(more("a_".len() as f64, 1.0), 7.0, 8.0).value(&scope),
            7.0
        );
        assert_eq!(
            max(min(3.0, 2.0), ceil(1.2)).to_string(),
            "max(min(3, 2), ceil(1.2))"
        );
    }
}

//! A capacity model: what a rate of requests takes of each part of the system, by strategy.
//!
//! The formulas are data ([`Model`]): the program evaluates them here, the page evaluates the same ones in
//! the browser, and both print them beside what they give. Each number that they rest on is printed beside
//! its [`Source`]: measured in the results at hand, given, or assumed.
//!
//! Pure: from [`Results`](crate::results::Results) and what is asked to an [`Answer`].

mod answer;
mod design;
mod figure;
mod format;
mod formula;
mod formulas;
mod gather;
mod inputs;
mod words;

pub use answer::{Answer, Ends, Strategy};
pub use figure::{Figure, Knot, Source, Table};
pub use format::{Unit, listed, written};
pub use formula::Expr;
pub use formulas::{Formula, GROUPS};
pub use gather::{AssumeError, Curve, Model, Modelled};
pub use inputs::{Asked, INPUTS, Input, parse_count};
pub use words::{Piece, Requirement};

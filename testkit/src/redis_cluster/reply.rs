//! What a node answers.

use std::io::{self, BufRead};

/// An answer of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A line, or a text of some length.
    Text(String),
    /// A number.
    Number(i64),
    /// No value.
    Nothing,
    /// Several answers.
    List(Vec<Reply>),
}

impl Reply {
    /// The text; empty for all else.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The texts of a list.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(list) => list.iter().map(Self::text).collect(),
            _ => Vec::new(),
        }
    }

    /// Reads one answer of the protocol (RESP2).
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).unwrap_or((line, ""));
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Self::Text(rest.to_owned()),
            ":" => Self::Number(number()?),
            "$" | "*" if number()? < 0 => Self::Nothing,
            "$" => {
                // The end of the line behind it.
                let length = usize::try_from(number()?).map_err(io::Error::other)? + 2;
                let mut bytes = vec![0; length];
                reader.read_exact(&mut bytes)?;
                bytes.truncate(length - 2);
                Self::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" => {
                let items = (0..number()?).map(|_| Self::read(reader));
                Self::List(items.collect::<io::Result<_>>()?)
            }
            _ => return Err(io::Error::other(rest.to_owned())),
        })
    }
}

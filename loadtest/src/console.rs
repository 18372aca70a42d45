//! What is written for whoever started the program: results to standard output, all else to standard
//! error. That nobody reads on costs neither a result nor a process.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// Writes a result to standard output. Whoever reads it may stop before its end, as `head` does.
///
/// # Errors
///
/// It cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a line to standard error, if that can be written to.
pub fn tell(line: impl Display) {
    // There is no other place to say that it cannot.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

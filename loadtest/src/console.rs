//! What is written for whoever started the program: results to standard output, all else to standard
//! error. That nobody reads on costs neither a result nor a process.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// Writes a result to standard output; says whether anybody reads it. Whoever does may stop before its
/// end, as `head` does.
///
/// # Errors
///
/// It cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Writes a line to standard error, if that can be written to.
pub fn tell(line: impl Display) {
    // There is no other place to say that it cannot.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

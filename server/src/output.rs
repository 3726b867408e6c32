//! What commands print. A closed pipe is the reader's choice, not an error.

use std::io::Write;

/// One line on standard output.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Text on standard output as it is.
pub fn print(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

/// One line on standard error.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

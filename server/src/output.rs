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

/// An error with its causes in one line. A cause that the message before it ends with already is not said twice.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once() {
        let source = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let file = hindsight_store::StoreError::File { path: "/a".into(), source: source() };
        let error = Err::<(), _>(file).context("opening the database").unwrap_err();
        assert_eq!(told(&error), format!("opening the database: /a: {}", source()));
        assert_ne!(told(&error), format!("{error:#}"), "the plain chain says it twice");
    }
}

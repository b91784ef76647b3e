//! Errors with their causes, on one line.

use std::{error::Error, fmt};

/// Displays an error and every cause below it, joined by `: `. An error's own `Display` speaks for its own level
/// only; this is how it is logged or shown whole. What would steer a terminal becomes a blank: errors quote plugins
/// and senders.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, f)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            f.write_str(": ")?;
            show(error, f)?;
            cause = error.source();
        }
        Ok(())
    }
}

fn show(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let steers = |c: char| c.is_control() && c != '\n';
    f.write_str(&error.to_string().replace(steers, " "))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read `sluice.toml`")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("the disk did not answer")]
    struct Middle(#[source] io::Error);

    #[test]
    fn every_cause_is_shown_once() {
        let error = Outer(Middle(io::Error::other("timed out")));
        assert_eq!(
            Chain(&error).to_string(),
            "failed to read `sluice.toml`: the disk did not answer: timed out"
        );
    }

    #[test]
    fn what_an_error_quotes_cannot_steer_a_terminal() {
        let error = Outer(Middle(io::Error::other("no `\x1b[2J`\nhint: go on")));
        assert!(Chain(&error).to_string().ends_with(": no ` [2J`\nhint: go on"));
    }

    #[test]
    fn an_error_without_cause_stands_alone() {
        assert_eq!(Chain(&io::Error::other("timed out")).to_string(), "timed out");
    }
}

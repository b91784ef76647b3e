//! Errors with their causes, on one line.

use std::{error::Error, fmt};

/// Displays an error and every cause below it, joined by `: `. An error's own `Display` speaks for its own level
/// only; this is how it is logged or shown whole.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
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
    fn an_error_without_cause_stands_alone() {
        assert_eq!(Chain(&io::Error::other("timed out")).to_string(), "timed out");
    }
}

//! A witness that tells people what it saw.

use crate::{cli::output::printable, verify::Witness};

/// Writes a line for every step.
pub(super) struct Narrator {
    text: String,
    /// Whether the signature that would have been right may be written down.
    shows_expected: bool,
}

impl Narrator {
    pub(super) fn new(shows_expected: bool) -> Self {
        Self { text: String::new(), shows_expected }
    }

    /// A step and what came of it, fit for a terminal: senders choose much of what is shown.
    pub(super) fn say(&mut self, what: &str, detail: &str) {
        self.text += format!("{what:<14} {}", printable(detail)).trim_end();
        self.text.push('\n');
    }

    /// All that was said, with the outcome as its last line.
    pub(super) fn end(mut self, outcome: &str) -> String {
        self.text += &printable(outcome);
        self.text.push('\n');
        self.text
    }
}

impl Witness for Narrator {
    fn saw(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
        self.say(what, &detail());
    }

    fn expected(&mut self, signature: impl FnOnce() -> String) {
        if self.shows_expected {
            self.say("expected", &signature());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_lines_that_steer_no_terminal() {
        let mut narrator = Narrator::new(false);
        narrator.saw("timestamp", || "17\u{1b}[2J\nx".to_owned());
        assert_eq!(narrator.end("accepted"), "timestamp      17\\u{1b}[2J\\nx\naccepted\n");
    }

    #[test]
    fn the_expected_signature_is_written_only_on_request() {
        let told = |shows| {
            let mut narrator = Narrator::new(shows);
            narrator.expected(|| "a1b2".to_owned());
            narrator.end("")
        };
        assert_eq!(told(false), "\n");
        assert_eq!(told(true), "expected       a1b2\n\n");
    }
}

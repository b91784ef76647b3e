//! What a plugin says during one call.

use std::sync::Arc;

use super::bindings::host::Level;

/// The longest line kept, in bytes.
const LINE: usize = 1 << 10;
/// The most lines of one call kept.
const LINES: usize = 32;
/// The most bytes of one call kept, all lines together.
const BYTES: usize = 8 << 10;

/// A bounded log: lines over the budget are counted instead of kept.
#[derive(Debug)]
pub(super) struct Log {
    plugin: Arc<str>,
    lines: Vec<String>,
    bytes: usize,
    lost: u64,
}

impl Log {
    pub(super) const LINE: usize = LINE;
    pub(super) const LINES: usize = LINES;

    pub(super) fn new(plugin: Arc<str>) -> Self {
        Self { plugin, lines: Vec::new(), bytes: 0, lost: 0 }
    }

    pub(super) fn write(&mut self, level: Level, text: String) {
        if self.lines.len() >= LINES || self.bytes >= BYTES {
            self.lost += 1;
            return;
        }
        let line = format!("{}: {}", name(level), tidy(text));
        self.bytes += line.len();
        emit(level, &self.plugin, &line);
        self.lines.push(line);
    }

    /// Counts lines that were lost before they came here.
    pub(super) fn lose(&mut self, lines: u64) {
        self.lost += lines;
    }

    /// The lines, and how many more there were. It is empty then, with its whole budget.
    pub(super) fn take(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        match std::mem::take(&mut self.lost) {
            0 => {}
            lost => lines.push(format!("({lost} more lines were not kept)")),
        }
        lines
    }
}

/// Makes a guest's text fit for logs and history: at most 1 KiB, on one line, nothing a terminal would obey.
pub(super) fn tidy(mut text: String) -> String {
    if text.len() > LINE {
        text.truncate(text.floor_char_boundary(LINE - '…'.len_utf8()));
        text.push('…');
    }
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    text
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

fn emit(level: Level, plugin: &str, line: &str) {
    match level {
        Level::Trace => tracing::trace!(plugin, line, "plugin says"),
        Level::Debug => tracing::debug!(plugin, line, "plugin says"),
        Level::Info => tracing::info!(plugin, line, "plugin says"),
        Level::Warn => tracing::warn!(plugin, line, "plugin says"),
        Level::Error => tracing::error!(plugin, line, "plugin says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(lines: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut log = Log::new("chatty".into());
        for line in lines {
            log.write(Level::Info, line);
        }
        log.take()
    }

    #[test]
    fn lines_over_the_budget_are_counted() {
        let lines = log_of((0..100).map(|n| n.to_string()));
        assert_eq!(lines.len(), LINES + 1);
        assert_eq!(lines[0], "info: 0");
        assert_eq!(lines[LINES], "(68 more lines were not kept)");
    }

    #[test]
    fn bytes_over_the_budget_are_not_kept() {
        let lines = log_of((0..20).map(|_| "x".repeat(5000)));
        assert_eq!(lines.last().unwrap(), "(12 more lines were not kept)");
        assert!(lines.iter().map(String::len).sum::<usize>() < BYTES + 2 * LINE);
    }

    #[test]
    fn long_line_is_cut_between_characters() {
        let line = tidy("é".repeat(LINE));
        assert!(line.len() <= LINE && line.ends_with('…'));
    }

    #[test]
    fn line_cannot_forge_another() {
        assert_eq!(tidy("a\nERROR \x1b[31mb".into()), "a ERROR  [31mb");
    }
}

//! What the command line prints: tables, and text that a terminal can be trusted with.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write as _},
};

/// Prints to standard output. A reader that has seen enough, such as `head`, is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints an answer as the gateway gave it.
pub(super) fn print_json(answer: &[u8]) -> io::Result<()> {
    print(&format!("{}\n", String::from_utf8_lossy(answer)))
}

/// Lays out rows below a head, each column as wide as its widest cell; all columns to the left.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[Cow<'_, str>; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let mut widths = head.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut text = line(&head.map(Cow::Borrowed), &widths);
    for row in &rows {
        text += &line(row, &widths);
    }
    text
}

/// Escapes what would steer a terminal: senders choose much of what is shown.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c.is_control() {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn line(cells: &[Cow<'_, str>], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, &width) in cells.iter().zip(widths) {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{cell:width$}  ");
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".into(), "long cell".into(), "x".into()], ["bcd".into(), "é".into(), String::new()]];
        assert_eq!(
            table(["ID", "NAME", "END"], &rows),
            "ID   NAME       END\n\
             a    long cell  x\n\
             bcd  é\n"
        );
    }

    #[test]
    fn terminal_control_is_escaped() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{9b}"), "a\\u{1b}[2J\\nb\\u{9b}");
        assert_eq!(table(["A"], &[["\u{1b}c".into()]]), "A\n\\u{1b}c\n");
    }

    #[test]
    fn plain_text_is_left_alone() {
        assert!(matches!(printable("grün \\ ok"), Cow::Borrowed("grün \\ ok")));
    }
}

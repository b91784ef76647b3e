//! What two texts differ in, line by line.

use std::iter;

use crate::cli::output::printable;

/// Lines shown around a difference.
const CONTEXT: usize = 3;
/// The most that is compared line by line: lines of one times lines of the other.
const MAX_CELLS: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit<'a> {
    Same(&'a str),
    Missing(&'a str),
    Extra(&'a str),
}

/// Shows what has to go from `expected` (`-`) and what has to come (`+`) to make it `made`, with a few lines around
/// each. Empty if there is no difference. Control characters are escaped.
pub(super) fn diff(expected: &str, made: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), made.lines().collect());
    let edits = edits(&old, &new);
    let differs: Vec<_> = edits.iter().map(|edit| !matches!(edit, Edit::Same(_))).collect();
    let near =
        |at: usize| differs[at.saturating_sub(CONTEXT)..differs.len().min(at + CONTEXT + 1)].contains(&true);
    let mut text = String::new();
    let mut skipping = false;
    for (at, edit) in edits.iter().enumerate() {
        if !near(at) {
            skipping = true;
            continue;
        }
        if skipping {
            text += "  …\n";
            skipping = false;
        }
        let (mark, line) = match *edit {
            Edit::Same(line) => (' ', line),
            Edit::Missing(line) => ('-', line),
            Edit::Extra(line) => ('+', line),
        };
        text += &format!("{mark} {}\n", printable(line));
    }
    if skipping && !text.is_empty() {
        text += "  …\n";
    }
    text
}

fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    let head = iter::zip(old, new).take_while(|(one, other)| one == other).count();
    let (left, right) = (&old[head..], &new[head..]);
    let tail =
        iter::zip(left.iter().rev(), right.iter().rev()).take_while(|(one, other)| one == other).count();
    let (left, right) = (&left[..left.len() - tail], &right[..right.len() - tail]);
    let same = |lines: &[&'a str]| lines.iter().map(|line| Edit::Same(line)).collect::<Vec<_>>();
    [same(&old[..head]), between(left, right), same(&old[old.len() - tail..])].concat()
}

/// By the longest common subsequence; where that would take too long, all of one and then all of the other.
fn between<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    if old.len() * new.len() > MAX_CELLS {
        let gone = old.iter().map(|line| Edit::Missing(line));
        return gone.chain(new.iter().map(|line| Edit::Extra(line))).collect();
    }
    let common = common(old, new);
    let (mut i, mut j) = (0, 0);
    let mut edits = Vec::with_capacity(old.len() + new.len());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            edits.push(Edit::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            edits.push(Edit::Missing(old[i]));
            i += 1;
        } else {
            edits.push(Edit::Extra(new[j]));
            j += 1;
        }
    }
    edits
}

/// How many lines the rests of both, from a line of each, have in common.
fn common(old: &[&str], new: &[&str]) -> Vec<Vec<u32>> {
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(diff("a\nb", "a\nb"), "");
        assert_eq!(diff("", ""), "");
    }

    #[test]
    fn only_what_differs_is_marked() {
        assert_eq!(diff("a\nb\nc", "a\nx\nc\nd"), "  a\n- b\n+ x\n  c\n+ d\n");
        assert_eq!(diff("", "a"), "+ a\n");
        assert_eq!(diff("a", ""), "- a\n");
    }

    #[test]
    fn what_is_far_from_a_difference_is_left_out() {
        let same = "1\n2\n3\n4\n5\n";
        assert_eq!(
            diff(&format!("{same}old\n{same}"), &format!("{same}new\n{same}")),
            "  …\n  3\n  4\n  5\n- old\n+ new\n  1\n  2\n  3\n  …\n"
        );
    }

    #[test]
    fn huge_texts_are_shown_one_after_the_other() {
        let (old, new) = (["a"; 3000], ["b"; 3000]);
        let edits = edits(&old, &new);
        assert_eq!((edits.len(), edits[0], edits[3000]), (6000, Edit::Missing("a"), Edit::Extra("b")));
    }

    #[test]
    fn a_line_cannot_steer_a_terminal() {
        assert_eq!(diff("", "\u{1b}[2J"), "+ \\u{1b}[2J\n");
    }
}

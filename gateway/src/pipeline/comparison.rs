//! Tells what differs between the answers that two versions of a plugin gave for the same message.

use std::collections::BTreeSet;

use crate::{
    event::{Headers, Message},
    plugin::{Answer, CallError, Draft},
};

/// The most characters that are shown of either side.
const SHOWN: usize = 160;
/// How many bytes of a body are shown before and from the first that differs.
const BEFORE: usize = 16;
const FROM: usize = 48;

/// Something that differs. Of many messages, the first that differ in it are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: What,
    /// What the plugin in force said, for people and in short.
    pub current: String,
    pub candidate: String,
}

/// What can differ between two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// One failed, or both did and not in the same way.
    Error,
    /// One keeps, drops, or makes messages of what the other does not.
    Verdict,
    /// Both drop, for other reasons.
    Reason,
    /// How many messages they make.
    Messages,
    Body,
    Headers,
    Destinations,
    Key,
    Attributes,
}

impl What {
    pub(super) const ALL: [Self; 9] = [
        Self::Error,
        Self::Verdict,
        Self::Reason,
        Self::Messages,
        Self::Body,
        Self::Headers,
        Self::Destinations,
        Self::Key,
        Self::Attributes,
    ];

    /// What metrics and the admin API call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Verdict => "verdict",
            Self::Reason => "reason",
            Self::Messages => "messages",
            Self::Body => "body",
            Self::Headers => "headers",
            Self::Destinations => "destinations",
            Self::Key => "key",
            Self::Attributes => "attributes",
        }
    }
}

/// Everything that differs, each thing once.
pub(super) fn compare(
    current: &Result<Answer, CallError>,
    candidate: &Result<Answer, CallError>,
) -> Vec<Difference> {
    let differs = |what| vec![Difference::new(what, &shown(current), &shown(candidate))];
    match (current, candidate) {
        (Ok(Answer::Keep), Ok(Answer::Keep)) => Vec::new(),
        (Ok(Answer::Drop(a)), Ok(Answer::Drop(b))) => {
            if a == b {
                Vec::new()
            } else {
                differs(What::Reason)
            }
        }
        (Ok(Answer::Messages(a)), Ok(Answer::Messages(b))) if a.len() == b.len() => messages(a, b),
        (Ok(Answer::Messages(_)), Ok(Answer::Messages(_))) => differs(What::Messages),
        (Ok(_), Ok(_)) => differs(What::Verdict),
        (Err(a), Err(b)) if a == b => Vec::new(),
        (Err(_), _) | (_, Err(_)) => differs(What::Error),
    }
}

/// As many of one as of the other.
fn messages(current: &[Draft], candidate: &[Draft]) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for (index, (a, b)) in current.iter().zip(candidate).enumerate().filter(|(_, (a, b))| a != b) {
        let place = if current.len() == 1 { String::new() } else { format!("message {}: ", index + 1) };
        for Difference { what, current, candidate } in drafts(a, b) {
            if !found.iter().any(|known| known.what == what) {
                let (current, candidate) = (place.clone() + &current, place.clone() + &candidate);
                found.push(Difference { what, current, candidate });
            }
        }
    }
    found
}

fn drafts(a: &Draft, b: &Draft) -> Vec<Difference> {
    let attributes = |mine: &Draft, other: &Draft| {
        let alone = mine.attributes.iter().filter(|pair| !other.attributes.contains(pair));
        list(alone.map(|(name, value)| format!("{name} = {value}")))
    };
    let (left, right) = (&a.message, &b.message);
    let pairs = [
        (What::Body, left.body != right.body, body(left, right), body(right, left)),
        (
            What::Headers,
            left.headers != right.headers,
            headers(&left.headers, &right.headers),
            headers(&right.headers, &left.headers),
        ),
        (
            What::Destinations,
            left.destinations != right.destinations,
            destinations(left),
            destinations(right),
        ),
        (What::Key, left.key != right.key, key(left), key(right)),
        (What::Attributes, attributes(a, b) != attributes(b, a), attributes(a, b), attributes(b, a)),
    ];
    let differing = pairs.into_iter().filter(|(_, differs, ..)| *differs);
    differing.map(|(what, _, current, candidate)| Difference::new(what, &current, &candidate)).collect()
}

/// A body around the first byte in which it differs from the other.
fn body(mine: &Message, other: &Message) -> String {
    let (mine, other) = (&mine.body, &other.body);
    let at = mine.iter().zip(other).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(BEFORE);
    let excerpt = String::from_utf8_lossy(&mine[from..mine.len().min(at + FROM)]);
    let (open, close) = (if from > 0 { "…" } else { "" }, if at + FROM < mine.len() { "…" } else { "" });
    format!("{} bytes, from byte {at}: {open}{excerpt}{close}", mine.len())
}

/// The names of headers that the other does not have like this. Values may be secrets.
fn headers(mine: &Headers, other: &Headers) -> String {
    let differs = |name: &str| !mine.get_all(name).eq(other.get_all(name));
    let names: BTreeSet<_> =
        mine.iter().map(|(name, _)| name.as_str()).filter(|name| differs(name)).collect();
    list(names.into_iter().map(str::to_owned))
}

fn destinations(message: &Message) -> String {
    message.destinations.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(", "))
}

fn key(message: &Message) -> String {
    message.key.clone().unwrap_or_else(|| "none".to_owned())
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn shown(answer: &Result<Answer, CallError>) -> String {
    match answer {
        Ok(Answer::Keep) => "keep".to_owned(),
        Ok(Answer::Drop(reason)) => format!("drop: {reason}"),
        Ok(Answer::Messages(drafts)) if drafts.len() == 1 => "1 message".to_owned(),
        Ok(Answer::Messages(drafts)) => format!("{} messages", drafts.len()),
        Err(error) => error.to_string(),
    }
}

impl Difference {
    fn new(what: What, current: &str, candidate: &str) -> Self {
        Self { what, current: short(current), candidate: short(candidate) }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn draft(body: &'static str) -> Draft {
        let message =
            Message { headers: Headers::default(), body: body.into(), destinations: None, key: None };
        Draft { message, attributes: Vec::new() }
    }

    fn drop(reason: &str) -> Result<Answer, CallError> {
        Ok(Answer::Drop(reason.to_owned()))
    }

    fn made(drafts: &[Draft]) -> Result<Answer, CallError> {
        Ok(Answer::Messages(drafts.to_vec()))
    }

    fn found(
        a: &Result<Answer, CallError>,
        b: &Result<Answer, CallError>,
    ) -> Vec<(&'static str, String, String)> {
        compare(a, b).into_iter().map(|d| (d.what.name(), d.current, d.candidate)).collect()
    }

    #[track_caller]
    fn one(a: &Draft, b: &Draft, what: &str, current: &str, candidate: &str) {
        let expected = (what, current.to_owned(), candidate.to_owned());
        let found = found(&made(std::slice::from_ref(a)), &made(std::slice::from_ref(b)));
        assert_eq!(found.iter().map(|(w, a, b)| (*w, a.clone(), b.clone())).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn same_answers_do_not_differ() {
        let trap = || Err(CallError::Trap { reason: "x".into(), frames: vec!["f".into()] });
        for answer in [Ok(Answer::Keep), drop("a"), made(&[draft("a"), draft("b")]), trap()] {
            assert_eq!(compare(&answer, &answer.clone()), []);
        }
    }

    #[test]
    fn verdicts_reasons_counts_and_errors_are_told_apart() {
        let cases = [
            (Ok(Answer::Keep), drop("a"), ("verdict", "keep", "drop: a")),
            (drop("a"), made(&[]), ("verdict", "drop: a", "0 messages")),
            (drop("a"), drop("b"), ("reason", "drop: a", "drop: b")),
            (made(&[draft("a")]), made(&[draft("a"), draft("a")]), ("messages", "1 message", "2 messages")),
            (Ok(Answer::Keep), Err(CallError::Other("x".into())), ("error", "keep", "failed: x")),
            (Err(CallError::Other("x".into())), drop("a"), ("error", "failed: x", "drop: a")),
        ];
        for (current, candidate, (what, a, b)) in cases {
            assert_eq!(found(&current, &candidate), [(what, a.to_owned(), b.to_owned())]);
        }
    }

    #[test]
    fn bodies_are_shown_around_the_first_byte_that_differs() {
        one(&draft("abc"), &draft("abd"), "body", "3 bytes, from byte 2: abc", "3 bytes, from byte 2: abd");
        let (a, b) = (draft("0123456789abcdef0123456789"), draft("0123456789abcdef01234567"));
        one(
            &a,
            &b,
            "body",
            "26 bytes, from byte 24: …89abcdef0123456789",
            "24 bytes, from byte 24: …89abcdef01234567",
        );
    }

    #[test]
    fn every_other_part_of_a_message_is_compared() {
        let plain = draft("a");
        let mut other = draft("a");
        other.message.headers.append(HeaderName::from_static("x-token"), HeaderValue::from_static("hush"));
        one(&plain, &other, "headers", "none", "x-token");
        other = draft("a");
        other.message.destinations = Some(vec!["crm".into(), "log".into()]);
        one(&plain, &other, "destinations", "all", "crm, log");
        other = draft("a");
        other.message.key = Some("k".into());
        one(&plain, &other, "key", "none", "k");
        other = draft("a");
        other.attributes = vec![("n".into(), "1".into())];
        one(&plain, &other, "attributes", "none", "n = 1");
    }

    #[test]
    fn what_differs_in_many_messages_is_shown_of_the_first() {
        let found =
            found(&made(&[draft("a"), draft("b"), draft("c")]), &made(&[draft("a"), draft("x"), draft("y")]));
        let [(what, current, _)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((*what, &**current), ("body", "message 2: 1 bytes, from byte 0: b"));
    }

    #[test]
    fn long_texts_are_cut() {
        let [difference] = &compare(&Ok(Answer::Keep), &drop(&"é".repeat(1000)))[..] else {
            panic!("not one")
        };
        assert_eq!(difference.candidate.chars().count(), SHOWN + 1);
    }
}

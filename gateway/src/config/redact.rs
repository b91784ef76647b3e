//! Masks the secrets in a config file's text, so that its lines can be shown. Lengths stay, so spans hold.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What is shown in place of each byte.
const MASK: &str = "*";

/// Keys beside a secret that say where it is to be found and when it counts.
const SHOWN: [&str; 4] = ["env", "file", "valid_from", "valid_until"];

/// Masks every value that is, or by its key looks like, a secret written out.
pub(super) fn redact(text: &str, document: &DeTable<'_>) -> String {
    let mut masked = text.to_owned();
    redact_table(document, &mut masked);
    masked
}

/// The same for a text that is not TOML, by the look of its lines: everything quoted that belongs to a key with
/// a telling name, and every URL's credentials.
pub(super) fn redact_broken(text: &str) -> String {
    let mut masked = text.to_owned();
    let (mut hide, mut in_text) = (false, false);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let first_quote = line.find(['"', '\'']).unwrap_or(line.trim_end().len());
        let before_value = if in_text { "" } else { &line[..first_quote] };
        if before_value.contains('=') || before_value.trim_start().starts_with('[') {
            hide = is_telling(line) || line.contains("headers");
        }
        in_text ^= opens_or_closes_text(line);
        if hide {
            // A value whose first quote was forgotten begins before it.
            let value = before_value.find('=').map_or(0, |at| at + 1);
            mask_bare(&mut masked, start + value..start + first_quote);
            mask(&mut masked, start + first_quote..start + line.trim_end().len());
        } else if let Some(span) = credentials(line) {
            mask(&mut masked, start + span.start..start + span.end);
        }
        start += line.len();
    }
    masked
}

/// Whether a text of several lines begins or ends in this one.
fn opens_or_closes_text(line: &str) -> bool {
    (line.matches("\"\"\"").count() + line.matches("'''").count()) % 2 == 1
}

fn redact_table(table: &DeTable<'_>, text: &mut String) {
    for (key, value) in table {
        if key.get_ref() == "headers" || is_telling(key.get_ref()) {
            hide(value, text);
        } else {
            redact_value(value, text);
        }
    }
}

fn redact_value(value: &Spanned<DeValue<'_>>, text: &mut String) {
    match value.get_ref() {
        DeValue::Table(table) => redact_table(table, text),
        DeValue::Array(items) => items.iter().for_each(|item| redact_value(item, text)),
        DeValue::String(url) if credentials(url).is_some() => {
            let span = value.span();
            // As it is written; with escapes in it, the whole of it goes.
            let credentials = text.get(span.clone()).and_then(credentials);
            mask(
                text,
                credentials.map_or(span.clone(), |part| span.start + part.start..span.start + part.end),
            );
        }
        _ => {}
    }
}

/// Hides every scalar below but those that say where a secret is to be found.
fn hide(value: &Spanned<DeValue<'_>>, text: &mut String) {
    match value.get_ref() {
        DeValue::Table(table) => {
            let hidden = table.iter().filter(|(key, _)| !SHOWN.contains(&&**key.get_ref()));
            hidden.for_each(|(_, value)| hide(value, text));
        }
        DeValue::Array(items) => items.iter().for_each(|item| hide(item, text)),
        _ => mask(text, value.span()),
    }
}

fn is_telling(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let near = |word: &str| strsim::damerau_levenshtein(&key, word) <= 2;
    ["secret", "token", "passw", "authorization"].iter().any(|word| key.contains(word))
        || ["secret", "secrets", "token", "password"].into_iter().any(near)
}

/// `user:password` of the first URL in a text.
fn credentials(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let authority = text[start..].split(['/', '?', '#', '"', '\'']).next()?;
    authority.rfind('@').map(|at| start..start + at)
}

/// Masks what is neither blank nor part of a list or a table, nor says where a secret is to be found.
fn mask_bare(text: &mut String, span: Range<usize>) {
    let Some(value) = text.get(span.clone()) else { return };
    let is_word = |c: char| !c.is_whitespace() && !"[]{},=".contains(c);
    let mut masked = value.to_owned();
    for word in value.split(|c| !is_word(c)).filter(|word| !SHOWN.contains(word)) {
        let start = word.as_ptr().addr() - value.as_ptr().addr();
        masked.replace_range(start..start + word.len(), &MASK.repeat(word.len()));
    }
    text.replace_range(span, &masked);
}

/// Masks the inside of quotes, or all of an unquoted value; line breaks stay.
fn mask(text: &mut String, span: Range<usize>) {
    let Some(value) = text.get(span.clone()) else { return };
    let masked: String = value
        .bytes()
        .map(|byte| match byte {
            b'"' => "\"",
            b'\'' => "'",
            b'\n' => "\n",
            b'\r' => "\r",
            _ => MASK,
        })
        .collect();
    text.replace_range(span, &masked);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn masks(text: &str, expected: &str) {
        assert_eq!(redact(text, DeTable::parse(text).unwrap().get_ref()), expected);
    }

    #[test]
    fn inline_secrets_are_masked() {
        masks("secrets = [\"abc\", { env = \"X\" }]", "secrets = [\"***\", { env = \"X\" }]");
        masks("[admin]\ntoken = '''a\nb'''", "[admin]\ntoken = '''*\n*'''");
    }

    #[test]
    fn secrets_under_a_misspelt_key_are_masked() {
        masks("sercets = [\"abc\"]\ntokn = 12", "sercets = [\"***\"]\ntokn = **");
        masks("secrets = [{ value = \"abc\" }]", "secrets = [{ value = \"***\" }]");
    }

    #[test]
    fn header_values_and_credentials_in_urls_are_masked() {
        masks("headers = { x = \"abc\" }", "headers = { x = \"***\" }");
        masks("url = \"http://u:p@h/\"", "url = \"http://***@h/\"");
        masks("url = \"http://h/@\"", "url = \"http://h/@\"");
    }

    #[test]
    fn secrets_in_broken_files_are_masked() {
        let text = "path = \"/x\nsecrets = [\n  \"abc,\n]\npath = \"/y\"\nurl = \"http://u:p@h/";
        let masked = "path = \"/x\nsecrets = [\n  \"****\n]\npath = \"/y\"\nurl = \"http://***@h/";
        assert_eq!(redact_broken(text), masked);
    }

    #[test]
    fn secrets_without_quotes_are_masked() {
        assert_eq!(redact_broken("token = hunter2"), "token = *******");
        assert_eq!(redact_broken("token = hunter2\"\npath = /x"), "token = *******\"\npath = /x");
        assert_eq!(redact_broken("secrets = [\n  abc,\n]"), "secrets = [\n  ***,\n]");
        assert_eq!(redact_broken("secrets = [{ env = X }]"), "secrets = [{ env = * }]");
    }

    #[test]
    fn secrets_of_several_lines_in_broken_files_are_masked() {
        let text = "token = \"\"\"\nc2VjcmV0==\n[a]\n\"\"\"\npath = \"/x";
        let masked = "token = \"\"\"\n********==\n[*]\n\"\"\"\npath = \"/x";
        assert_eq!(redact_broken(text), masked);
    }

    proptest! {
        #[test]
        fn lengths_stay(text in "([a-z]{0,3}|secrets? ?=|token=|\"|'|é|://|@|\n|\\[|\\]){0,12}") {
            prop_assert_eq!(redact_broken(&text).len(), text.len());
        }
    }
}

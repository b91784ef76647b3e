//! What looks like a secret, by its name or by itself, and what is put in its place.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{cli::plugin::json::Json, route::percent_decode};

/// What is part of the names of secrets, without case, blanks, dots, dashes and underscores.
const PARTS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "signature",
    "hmac",
    "cookie",
    "sessionid",
    "cardnumber",
    "responseurl",
];
/// How names of secrets end.
const ENDS: [&str; 2] = ["token", "jwt"];
/// Names that are too short to look for in others.
const WHOLE: [&str; 10] = ["pwd", "pass", "pin", "otp", "cvv", "cvc", "auth", "sig", "ssn", "iban"];
/// How the secrets of well-known services begin.
const BEGINNINGS: [&str; 26] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "whsec_",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "SG.",
    "shpat_",
    "shpss_",
    "npm_",
    "sk-",
    "eyJ",
];
/// The shortest of them.
const MIN_SECRET: usize = 16;
/// How many digits a payment card's number has.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

/// Stands for an e-mail address.
const EMAIL: &str = "masked@example.com";

/// Whether a member, parameter or header of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    PARTS.iter().any(|part| plain.contains(part))
        || ENDS.iter().any(|end| plain.ends_with(end))
        || WHOLE.contains(&plain.as_str())
}

/// What is put in the place of a secret text: `x`es, as many as the least power of two from 8 to 256 that is not
/// fewer. An empty text stays empty.
pub(super) fn mask(text: &str) -> String {
    match text.chars().count() {
        0 => String::new(),
        length => "x".repeat(length.next_power_of_two().clamp(8, 256)),
    }
}

/// What is put in the place of a secret number.
pub(super) fn mask_number(number: &str) -> &'static str {
    if number.contains(['.', 'e', 'E']) { "0.0" } else { "0" }
}

/// Whether a text is a number that a payment card could have.
pub(super) fn is_card(digits: &str) -> bool {
    let plausible = match digits.as_bytes() {
        [b'4', ..] => matches!(digits.len(), 13 | 16 | 19),
        [b'3', ..] => matches!(digits.len(), 14..=16),
        [b'2' | b'5', ..] => digits.len() == 16,
        [b'6', ..] => CARD.contains(&digits.len()) && digits.len() >= 16,
        _ => false,
    };
    plausible && digits.bytes().all(|digit| digit.is_ascii_digit()) && luhn(digits) && !all_alike(digits)
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn all_alike(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == digits.as_bytes()[0])
}

/// Masks what looks like a secret by itself in a text: keys of well-known services, JSON Web Tokens, the credentials
/// and secret parameters of a URL, card numbers, and e-mail addresses if they are asked for. `None`: there is
/// nothing of that kind.
pub(super) fn masked(text: &str, emails: bool) -> Option<String> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some(mask(text));
    }
    let without_cards = cards(text);
    let mut out = String::with_capacity(text.len());
    let mut after_scheme = false;
    for piece in without_cards.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        out += &match after_scheme && word.len() >= 8 {
            true => Cow::Owned(mask(word)),
            false => masked_word(word, emails),
        };
        out += &piece[word.len()..];
        after_scheme = matches!(word, "Bearer" | "Basic" | "bearer" | "basic");
    }
    (out != text).then_some(out)
}

fn masked_word(word: &str, emails: bool) -> Cow<'_, str> {
    if is_secret_word(word) {
        return mask(word).into();
    }
    if (word.starts_with("https://") || word.starts_with("http://"))
        && let Some(url) = url(word, emails)
    {
        return url.into();
    }
    if emails { self::emails(word) } else { word.into() }
}

fn is_secret_word(word: &str) -> bool {
    let word = word.trim_start_matches(['"', '\'', '(', '<', '`', '=']);
    let begins = BEGINNINGS.iter().any(|start| word.starts_with(start)) && word.len() >= MIN_SECRET;
    // Of all that begins with `eyJ`, only a token has these dots.
    begins && (!word.starts_with("eyJ") || word.matches('.').count() >= 2) && !word.contains(' ')
}

/// The URL without its credentials and the values of secret parameters.
fn url(url: &str, emails: bool) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("masked@{host}"),
        None => authority.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((path, query)) => format!("{path}?{}", pairs(query, emails, &mut Vec::new())),
        None => rest.to_owned(),
    };
    Some(format!("{scheme}://{authority}{rest}"))
}

/// Masks the values of a query, or of a form, whose names or values look secret; pushes the names.
pub(super) fn pairs(text: &str, emails: bool, found: &mut Vec<String>) -> String {
    let pairs: Vec<_> = text.split('&').map(|pair| masked_pair(pair, emails, found)).collect();
    pairs.join("&")
}

fn masked_pair(pair: &str, emails: bool, found: &mut Vec<String>) -> String {
    let Some((name, value)) = pair.split_once('=') else { return pair.to_owned() };
    let plain = decoded(name);
    let text = decoded(value);
    let masked = match is_secret_name(&plain) && !value.is_empty() {
        true => Some(mask(&text)),
        false => document(&text, emails).or_else(|| masked(&text, emails)),
    };
    let Some(masked) = masked else { return pair.to_owned() };
    found.push(plain);
    format!("{name}={}", utf8_percent_encode(&masked, NON_ALPHANUMERIC))
}

fn decoded(text: &str) -> String {
    percent_decode(&text.replace('+', " ")).into_owned()
}

/// JSON within a value, masked. `None` if it is none, or there is nothing to mask in it.
fn document(text: &str, emails: bool) -> Option<String> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut json = Json::parse(text).ok()?;
    let mut found = Vec::new();
    super::mask::walk(&mut json, emails, &mut String::new(), &mut found);
    (!found.is_empty()).then(|| json.to_string())
}

/// Masks card numbers, alone or in groups with blanks or dashes between them.
fn cards(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    let mut start = 0;
    while let Some(run) = next_run(text, start) {
        let digits: String = text[run.clone()].chars().filter(char::is_ascii_digit).collect();
        if is_card(&digits) {
            let zeros = text[run.clone()].replace(|c: char| c.is_ascii_digit(), "0");
            out.to_mut().replace_range(run.clone(), &zeros);
        }
        start = run.end;
    }
    out
}

/// The next run of digits that are not part of a word, single blanks and dashes between them included.
fn next_run(text: &str, start: usize) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut at = start;
    loop {
        at += bytes.get(at..)?.iter().position(u8::is_ascii_digit)?;
        let begins = at == 0 || !is_word(at - 1);
        let mut end = at;
        while let Some(byte) = bytes.get(end) {
            let joins = matches!(byte, b' ' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !byte.is_ascii_digit() && !joins {
                break;
            }
            end += 1;
        }
        if begins && !is_word(end) {
            return Some(at..end);
        }
        at = end;
    }
}

/// Masks e-mail addresses.
fn emails(word: &str) -> Cow<'_, str> {
    let is_part = |c: char| c.is_alphanumeric() || "._%+-@".contains(c);
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        out += if is_email(part) { EMAIL } else { part };
        let other = tail.chars().next().map_or(0, char::len_utf8);
        out += &tail[..other];
        rest = &tail[other..];
    }
    if out == word { word.into() } else { out.into() }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.contains('@') && host.trim_end_matches('.').contains('.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "token",
            "access_token",
            "accessToken",
            "x-api-key",
            "Password",
            "user[password]",
            "client_secret",
            "pin",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["token_type", "pinned", "author", "key", "id", "compass", "session_count", "signed_at"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_mask_keeps_the_class_of_the_length_and_nothing_else() {
        let lengths = [0, 1, 8, 9, 40, 64, 5000].map(|length| mask(&"ä".repeat(length)).len());
        assert_eq!(lengths, [0, 8, 8, 16, 64, 64, 256]);
        assert_eq!(mask("hunter2"), "xxxxxxxx");
        assert_eq!((mask_number("12"), mask_number("1.5"), mask_number("1e9")), ("0", "0.0", "0.0"));
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(masked(text, false).as_deref(), expected, "{text}");
    }

    #[test]
    fn secrets_are_known_by_themselves() {
        check("key ghp_0123456789abcdef!", Some("key xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
        check("Bearer abcdefgh", Some("Bearer xxxxxxxx"));
        check("eyJhbGciOi.eyJzdWIi.c2ln", Some("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
        check("-----BEGIN RSA PRIVATE KEY-----\nabc", Some(&mask(&"x".repeat(35))));
        for text in ["hello world", "skill", "eyJ", "Basic idea", "", "sk-1"] {
            check(text, None);
        }
    }

    #[test]
    fn urls_lose_their_credentials_and_secret_parameters() {
        check(
            "https://me:pw@h.example/p?a=1&token=abc",
            Some("https://masked@h.example/p?a=1&token=xxxxxxxx"),
        );
        check("https://h.example/p?a=1", None);
    }

    #[test]
    fn card_numbers_are_masked_digit_by_digit() {
        check("4242424242424242", Some("0000000000000000"));
        check("paid with 4242 4242-4242 4242, thanks", Some("paid with 0000 0000-0000 0000, thanks"));
        // A check digit that is wrong, milliseconds, an id with letters around it, and a number that is too long.
        for text in [
            "4242424242424241",
            "1772366400000",
            "a4242424242424242",
            "4242424242424242b",
            "42424242424242424242",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn e_mail_addresses_are_masked_where_that_is_asked_for() {
        let text = "<ann.b+c@mail.example.org>, see @ann and a@b";
        check(text, None);
        assert_eq!(masked(text, true).unwrap(), "<masked@example.com>, see @ann and a@b");
    }

    #[test]
    fn forms_and_queries_are_masked_by_name_and_by_value() {
        let mut found = Vec::new();
        let form = "a=1&user%5Bpassword%5D=p+w&payload=%7B%22token%22%3A%22abc%22%7D&empty_token=&b";
        let text = pairs(form, false, &mut found);
        assert_eq!(found, ["user[password]", "payload"]);
        assert!(text.starts_with("a=1&user%5Bpassword%5D=xxxxxxxx&payload=%7B"), "{text}");
        assert!(text.ends_with("&empty_token=&b") && !text.contains("abc"), "{text}");
    }
}

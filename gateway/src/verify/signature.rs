//! Checks a signature: any of those sent against any secret in force.

use std::{borrow::Cow, time::Duration};

use super::{
    Refused, Settings, Witness,
    hmac::{Key, Match, Tag},
    reader::Reader,
    scheme::{SignatureScheme, TimestampField, TimestampSource, TimestampUnit, Tolerance},
    template::Context,
};
use crate::{clock::Timestamp, config::Secret};

pub(super) struct SignatureCheck {
    scheme: SignatureScheme,
    keys: Vec<(Secret, Key)>,
}

impl SignatureCheck {
    pub(super) fn new(scheme: &SignatureScheme, settings: &Settings) -> Self {
        let keys = settings.secrets.iter().filter_map(|secret| match Key::new(scheme, secret.expose()) {
            Ok(key) => Some((secret.clone(), key)),
            Err(error) => {
                // `Scheme::check_secret` refuses these when the config is read.
                tracing::error!(origin = secret.origin(), %error, "secret cannot be used");
                None
            }
        });
        Self { scheme: scheme.clone(), keys: keys.collect() }
    }

    pub(super) async fn check(
        &self,
        request: &Reader<'_>,
        now: Option<Timestamp>,
        _witness: &mut impl Witness,
    ) -> Result<usize, Refused> {
        let from = &self.scheme.signature.from;
        let mut refused = Refused::SignatureMissing { field: from.names() };
        for field in from.iter() {
            let Some(raw) = request.read(field)? else { continue };
            match self.check_one(&raw, request, now) {
                Ok(matched) => return Ok(matched),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn check_one(&self, raw: &str, request: &Reader<'_>, now: Option<Timestamp>) -> Result<usize, Refused> {
        if self.scheme.signature.parse.signatures(raw).all(str::is_empty) {
            return Err(self.malformed());
        }
        let signed_at = match &self.scheme.timestamp {
            Some(field) => Some((field, self.timestamp_text(field, raw, request)?)),
            None => None,
        };
        let text = signed_at.as_ref().map_or("", |(_, text)| text);
        let signed_at = match &signed_at {
            Some((field, text)) => Some((*field, field.parse(text)?)),
            None => None,
        };
        let context = Context { timestamp: text, ..Context::default() };
        let template = self.scheme.signed.iter().next().ok_or(Refused::SignatureInvalid)?;
        let pieces = template.render(request, context)?;
        let matched = self.match_any(raw, &pieces, now)?;
        // Last, so that "stale" is only ever said of a request that was genuine once.
        signed_at.zip(now).map_or(Ok(()), |((field, signed_at), now)| field.check(signed_at, now))?;
        Ok(matched)
    }

    fn timestamp_text<'a>(
        &'a self,
        field: &'a TimestampField,
        raw: &'a str,
        request: &'a Reader<'_>,
    ) -> Result<Cow<'a, str>, Refused> {
        let missing = || Refused::TimestampMissing { field: field.from.to_string() };
        match &field.from {
            TimestampSource::Field(place) => request.read(place)?.ok_or_else(missing),
            TimestampSource::Signature(name) => {
                let mut values = self.scheme.signature.parse.fields(raw, name);
                let value = values.next().ok_or_else(missing)?;
                match values.next() {
                    None => Ok(Cow::Borrowed(value)),
                    Some(_) => Err(Refused::Repeated { field: field.from.to_string() }),
                }
            }
        }
    }

    fn match_any(
        &self,
        raw: &str,
        pieces: &[Cow<'_, [u8]>],
        now: Option<Timestamp>,
    ) -> Result<usize, Refused> {
        let keys = self.keys.iter().enumerate();
        let mut keys = keys.filter(|(_, (secret, _))| secret.is_active_at(now)).peekable();
        if keys.peek().is_none() {
            return Err(Refused::NoActiveSecret);
        }
        let mut outcome = Match::Malformed;
        for (index, (_, key)) in keys {
            match self.match_one(raw, &key.tag(pieces)) {
                Match::Yes => return Ok(index),
                Match::No => outcome = Match::No,
                Match::Malformed => {}
            }
        }
        match outcome {
            Match::Malformed => Err(self.malformed()),
            Match::Yes | Match::No => Err(Refused::SignatureInvalid),
        }
    }

    fn malformed(&self) -> Refused {
        Refused::SignatureMalformed { field: self.scheme.signature.from.names() }
    }

    fn match_one(&self, raw: &str, tag: &Tag) -> Match {
        let mut outcome = Match::Malformed;
        for signature in self.scheme.signature.parse.signatures(raw) {
            match tag.matches(signature, self.scheme.encoding) {
                Match::Yes => return Match::Yes,
                Match::No => outcome = Match::No,
                Match::Malformed => {}
            }
        }
        outcome
    }
}

impl TimestampField {
    fn parse(&self, text: &str) -> Result<Timestamp, Refused> {
        let parsed = match self.unit {
            TimestampUnit::S => digits(text).and_then(|secs| secs.checked_mul(1000)),
            TimestampUnit::Ms => digits(text),
            TimestampUnit::Iso8601 => iso8601(text),
        };
        let malformed = || Refused::TimestampMalformed { field: self.from.to_string() };
        parsed.map(Timestamp::from_millis).ok_or_else(malformed)
    }

    fn check(&self, signed_at: Timestamp, now: Timestamp) -> Result<(), Refused> {
        let (age, ahead) = (now.since(signed_at), signed_at.since(now));
        match (self.past, self.future.unwrap_or(self.past)) {
            (Tolerance::Seconds(past), _) if age > Duration::from_secs(past) => {
                Err(Refused::TimestampStale { age: age.as_secs(), tolerance: past })
            }
            (_, Tolerance::Seconds(future)) if ahead > Duration::from_secs(future) => {
                Err(Refused::TimestampFuture { ahead: ahead.as_secs(), tolerance: future })
            }
            _ => Ok(()),
        }
    }
}

/// 1 to 16 digits and nothing else: no sign, no blank, no exponent.
fn digits(text: &str) -> Option<u64> {
    let plain = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// RFC 3339 with `Z` or an offset, in milliseconds since the epoch.
fn iso8601(text: &str) -> Option<u64> {
    let millis = |utc: &str| Some(Timestamp::from(humantime::parse_rfc3339(utc).ok()?).as_millis());
    if text.ends_with('Z') {
        return millis(text);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let offset_millis = (digits(hours)? * 60 + digits(minutes)?) * 60_000;
    let local = millis(&format!("{local}Z"))?;
    match offset.as_bytes()[0] {
        b'+' => local.checked_sub(offset_millis),
        b'-' => local.checked_add(offset_millis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_a_number() {
        assert_eq!(digits("1614265330"), Some(1_614_265_330));
        for text in ["", "-1", "+1", " 1", "1e9", "0x10", "1.0", "12345678901234567", "Infinity", "١"] {
            assert_eq!(digits(text), None, "{text}");
        }
    }

    #[test]
    fn iso_times_with_and_without_offset_are_the_same_moment() {
        let moment = iso8601("2020-01-01T07:00:00Z");
        assert_eq!(moment, Some(1_577_862_000_000));
        assert_eq!(iso8601("2020-01-01T00:00:00-07:00"), moment);
        assert_eq!(iso8601("2020-01-01T08:30:00+01:30"), moment);
        assert_eq!(iso8601("2020-01-01T07:00:00.123456789Z"), Some(1_577_862_000_123));
        for text in ["", "2020-01-01", "2020-01-01T07:00:00", "2020-01-01T07:00:00+1:30", "é:00000Z+"] {
            assert_eq!(iso8601(text), None, "{text}");
        }
    }
}

//! As much of DER (X.690) as it takes to find the key in a public key or a certificate, and when it is valid.

use crate::clock::Timestamp;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// A SubjectPublicKeyInfo (RFC 5280 §4.1).
pub(super) struct Spki<'d> {
    /// The object identifier of the key's kind.
    pub(super) kind: &'d [u8],
    /// The object identifier of its curve, where it has one.
    pub(super) curve: Option<&'d [u8]>,
    pub(super) key: &'d [u8],
}

/// When a certificate is valid; both ends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl<'d> Spki<'d> {
    pub(super) fn read(der: &'d [u8]) -> Option<Self> {
        let mut whole = Der(der);
        let spki = Self::next(&mut whole)?;
        whole.0.is_empty().then_some(spki)
    }

    fn next(der: &mut Der<'d>) -> Option<Self> {
        let mut spki = der.sequence()?;
        let mut algorithm = spki.sequence()?;
        let kind = algorithm.value(OBJECT_IDENTIFIER)?;
        let curve = algorithm.value(OBJECT_IDENTIFIER);
        let key = spki.value(BIT_STRING)?.strip_prefix(&[0])?;
        Some(Self { kind, curve, key })
    }
}

/// The key of a certificate (RFC 5280 §4.1) and when it is valid. Who issued it is not looked at.
pub(super) fn certificate(der: &[u8]) -> Option<(Spki<'_>, Validity)> {
    let mut certificate = Der(der).sequence()?.sequence()?;
    certificate.value(VERSION);
    certificate.value(INTEGER)?;
    let (_signed_with, _issuer) = (certificate.sequence()?, certificate.sequence()?);
    let mut validity = certificate.sequence()?;
    let validity = Validity { from: validity.time()?, until: validity.time()? };
    let _subject = certificate.sequence()?;
    Some((Spki::next(&mut certificate)?, validity))
}

/// The modulus and the exponent of an RSAPublicKey (RFC 8017 §A.1.1), without leading zeros.
pub(super) fn rsa(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut numbers = Der(der).sequence()?;
    Some((without_zeros(numbers.value(INTEGER)?), without_zeros(numbers.value(INTEGER)?)))
}

pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

impl Validity {
    pub(super) fn holds_at(self, now: Timestamp) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// What is left to be read.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    fn sequence(&mut self) -> Option<Self> {
        self.value(SEQUENCE).map(Self)
    }

    /// The next value's bytes, if it has this tag; else nothing is read.
    fn value(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (_, rest) = self.0.split_first().filter(|(first, _)| **first == tag)?;
        let (&short, rest) = rest.split_first()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// In whole seconds.
    fn time(&mut self) -> Option<Timestamp> {
        let utc = self.value(UTC_TIME).map(|time| (time, true));
        let (time, short) = utc.or_else(|| self.value(GENERALIZED_TIME).map(|time| (time, false)))?;
        let digits = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
        let century = match (short, digits.get(..2)?) {
            (false, _) => "",
            // RFC 5280 §4.1.2.5.1.
            (true, year) if year < "50" => "20",
            (true, _) => "19",
        };
        let full = format!("{century}{digits}");
        let part = |from: usize, to: usize| full.get(from..to);
        let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, full.get(12..)?);
        let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
        humantime::parse_rfc3339(&text).ok().map(Timestamp::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_certificates_key_and_validity_are_found() {
        let made = rcgen::generate_simple_self_signed(["sns.test".to_owned()]).unwrap();
        let (spki, validity) = certificate(made.cert.der()).unwrap();
        assert_eq!(spki.key.len(), 65);
        assert!(spki.curve.is_some());
        // rcgen's own: 1975 to 4096, the one in either form of a time.
        assert_eq!(validity.from.to_string(), "1975-01-01T00:00:00.000Z");
        assert_eq!(validity.until.to_string(), "4096-01-01T00:00:00.000Z");
        assert!(!validity.holds_at(Timestamp::default()));
        assert!(validity.holds_at(validity.from) && validity.holds_at(validity.until));
    }

    #[test]
    fn what_ends_early_or_late_is_no_key() {
        let made = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::PublicKeyData::subject_public_key_info(&made);
        assert!(Spki::read(&der).is_some());
        for end in 0..der.len() {
            assert!(Spki::read(&der[..end]).is_none(), "{end}");
        }
        assert!(Spki::read(&[&der[..], &[0]].concat()).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (certificate(&bytes), Spki::read(&bytes), rsa(&bytes));
        }
    }
}

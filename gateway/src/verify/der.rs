//! As much of DER (X.690) as it takes to see when a certificate is valid, and to write an RSA key.

use crate::clock::Timestamp;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// When a certificate is valid; both ends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// When a certificate (RFC 5280 §4.1) is valid.
pub(super) fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut certificate = Der(certificate).sequence()?.sequence()?;
    certificate.value(VERSION);
    certificate.value(INTEGER)?;
    let (_signed_with, _issuer) = (certificate.sequence()?, certificate.sequence()?);
    let mut validity = certificate.sequence()?;
    Some(Validity { from: validity.time()?, until: validity.time()? })
}

/// An RSAPublicKey (RFC 8017 §A.1.1) of these numbers, big-endian.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    encode(SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    // With its first bit set it would be negative.
    let sign = if number.first().is_none_or(|first| *first >= 0x80) { &[0][..] } else { &[] };
    encode(INTEGER, &[sign, number].concat())
}

fn encode(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let head = match *length {
        [] => vec![tag, 0],
        [short @ ..0x80] => vec![tag, short],
        _ => [&[tag, 0x80 | length.len() as u8], length].concat(),
    };
    [&head, value].concat()
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
    fn a_certificates_validity_is_found() {
        let made = rcgen::generate_simple_self_signed(["sns.test".to_owned()]).unwrap();
        let validity = validity(made.cert.der()).unwrap();
        // rcgen's own: 1975 to 4096, the one in either form of a time.
        assert_eq!(validity.from.to_string(), "1975-01-01T00:00:00.000Z");
        assert_eq!(validity.until.to_string(), "4096-01-01T00:00:00.000Z");
        assert!(!validity.holds_at(Timestamp::default()));
        assert!(validity.holds_at(validity.from) && validity.holds_at(validity.until));
    }

    #[test]
    fn an_rsa_key_is_written_in_the_shortest_form() {
        assert_eq!(rsa(&[0, 0x7f], &[1, 0, 1]), [0x30, 8, 2, 1, 0x7f, 2, 3, 1, 0, 1]);
        assert_eq!(rsa(&[0x80], &[3])[..], [0x30, 7, 2, 2, 0, 0x80, 2, 1, 3]);
        let long = rsa(&[0x81; 256], &[3]);
        assert_eq!(long[..9], [0x30, 0x82, 1, 8, 2, 0x82, 1, 1, 0]);
        assert_eq!(long.len(), 4 + 264);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (validity(&bytes), rsa(&bytes, &bytes));
        }
    }
}

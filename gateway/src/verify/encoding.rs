//! How a signature's bytes are written as text.

use base64::engine::{
    DecodePaddingMode, Engine as _,
    general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};

use super::scheme::Encoding;

const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Encoding {
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64url => URL_SAFE.encode(bytes),
        }
    }

    /// The bytes, or `None` where the text is not in the one form that stands for them.
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        let text = trim(text);
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64url => URL_SAFE.decode(text).ok(),
        }
    }

    /// As [`decode`](Self::decode), into a buffer: how many bytes there are; also `None` if they do not fit.
    pub(super) fn decode_into(self, text: &str, buffer: &mut [u8]) -> Option<usize> {
        let text = trim(text);
        match self {
            Self::Hex => {
                let len = text.len() / 2;
                hex::decode_to_slice(text, buffer.get_mut(..len)?).ok().map(|()| len)
            }
            Self::Base64 => STANDARD.decode_slice(text, buffer).ok(),
            Self::Base64url => URL_SAFE.decode_slice(text, buffer).ok(),
        }
    }
}

/// Blanks around an item of a list are no part of it.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_read() {
        for (encoding, good, bad) in [
            (Encoding::Hex, vec!["00fF", " 00ff"], vec!["0", "0g", "0x00", "00 ff"]),
            (Encoding::Base64, vec!["AA==", "+/8="], vec!["AA", "AA=", "AB==", "-_8=", "AA==="]),
            (Encoding::Base64url, vec!["AA==", "AA", "-_8"], vec!["AB", "+/8=", "A"]),
        ] {
            let mut buffer = [0; 8];
            for text in good {
                let bytes = encoding.decode(text).unwrap();
                assert_eq!(encoding.decode_into(text, &mut buffer), Some(bytes.len()), "{text}");
                assert_eq!(buffer[..bytes.len()], bytes[..], "{text}");
            }
            for text in bad {
                assert_eq!(encoding.decode(text), None, "{text}");
                assert_eq!(encoding.decode_into(text, &mut buffer), None, "{text}");
            }
        }
    }
}

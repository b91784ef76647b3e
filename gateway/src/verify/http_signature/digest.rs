//! `content-digest` (RFC 9530): the body's hash as a header field, which a signature can cover.

use sfv::{Dictionary, ListEntry, Parser};
use subtle::ConstantTimeEq;

use super::base::joined;
use crate::verify::{Refused, reader::Reader, scheme::Derive};

pub(super) const CONTENT_DIGEST: &str = "content-digest";

/// Checks it wherever it is; whether it is there. Every hash that we know must be right, and one must be there.
pub(super) fn check(reader: &Reader<'_>) -> Result<bool, Refused> {
    let Some(text) = joined(&reader.request.headers, CONTENT_DIGEST) else { return Ok(false) };
    let wrong = || Refused::BodyHashInvalid { field: format!("header:{CONTENT_DIGEST}") };
    let digests: Dictionary = Parser::new(&text).parse().map_err(|_| wrong())?;
    let mut known = 0;
    for (name, entry) in &digests {
        let hash = match name.as_str() {
            "sha-256" => Derive::Sha256,
            "sha-512" => Derive::Sha512,
            _ => continue,
        };
        let ListEntry::Item(item) = entry else { return Err(wrong()) };
        let claimed = item.bare_item.as_byte_sequence().ok_or_else(wrong)?;
        if !bool::from(hash.digest(&reader.request.body).ct_eq(claimed)) {
            return Err(wrong());
        }
        known += 1;
    }
    if known == 0 { Err(wrong()) } else { Ok(true) }
}

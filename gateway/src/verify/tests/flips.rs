//! One flipped bit, wherever it is in what is proven, and the request is refused.

use std::collections::BTreeSet;

use super::*;
use crate::verify::{
    scheme::{Encoding, Family, Scheme, TimestampSource},
    template::Part,
};

/// Presets of every way to write a signature that can be signed; their names are in the failing case.
const CASES: u32 = 2000;

fn scheme_of(name: &str) -> &'static Scheme {
    &preset(name).unwrap().scheme
}

/// The headers that no bit of may change: the proof's own and those that it covers.
fn proven_headers(scheme: &Scheme) -> BTreeSet<String> {
    let mut places: Vec<Field> = Vec::new();
    match &scheme.family {
        Family::Signature(scheme) => {
            places.extend(scheme.signature.from.iter().cloned());
            if let Some(TimestampSource::Field(field)) = scheme.timestamp.as_ref().map(|field| &field.from) {
                places.push(field.clone());
            }
            for part in scheme.signed.iter().flat_map(|template| template.parts()) {
                if let Part::Field { field, .. } = part {
                    places.push(field.clone());
                }
            }
        }
        Family::Token(scheme) => places.extend(scheme.from.iter().cloned()),
        Family::Jws(_) | Family::Basic(_) | Family::Rfc9421(_) | Family::None {} => {}
    }
    places.iter().filter_map(|place| place.to_string().strip_prefix("header:").map(str::to_owned)).collect()
}

/// Whether a change of the body has to be noticed.
fn covers_body(scheme: &Scheme) -> bool {
    matches!(&scheme.family, Family::Signature(scheme) if scheme.signs_body)
}

/// Whether hex digits in it count in either case, so that one bit of a letter says nothing.
fn is_hex(scheme: &Scheme) -> bool {
    matches!(&scheme.family, Family::Signature(scheme) if scheme.encoding == Encoding::Hex)
}

fn flip(bytes: &[u8], at: prop::sample::Index, bit: u8) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    let at = at.index(flipped.len());
    flipped[at] ^= 1 << bit;
    flipped
}

fn outcome(name: &str, request: Unverified) -> Result<(), Refused> {
    let now = request.received_at;
    ready(verifier(&by_preset(name, &[SECRET])).verify(request, now)).map(drop)
}

fn signed_body(name: &str, body: Vec<u8>) -> Unverified {
    let mut request = request();
    request.body = body.into();
    sign(name, &mut request);
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_flipped_bit_of_the_body_is_refused(
        name in any_preset().prop_filter("the body is not covered", |name| covers_body(scheme_of(name))),
        body in prop::collection::vec(any::<u8>(), 1..200),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let mut request = signed_body(name, body.clone());
        prop_assert!(outcome(name, request.clone()).is_ok());
        request.body = flip(&body, at, bit).into();
        let refused = outcome(name, request).unwrap_err();
        prop_assert!(matches!(refused, Refused::SignatureInvalid), "{refused}");
    }

    #[test]
    fn a_flipped_bit_of_a_header_that_is_proven_is_refused(
        name in any_preset(),
        body in prop::collection::vec(any::<u8>(), 0..50),
        header: prop::sample::Index,
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let mut request = signed_body(name, body);
        let headers: Vec<_> = proven_headers(scheme_of(name)).into_iter().collect();
        let header: HeaderName = header.get(&headers).parse().unwrap();
        let Some(old) = request.headers.get(&header).cloned() else { return Ok(()) };
        let flipped = flip(old.as_bytes(), at, bit);
        let same = is_hex(scheme_of(name)) && flipped.eq_ignore_ascii_case(old.as_bytes());
        // What is no header value gets no further than the HTTP parser.
        let Ok(new) = HeaderValue::from_bytes(&flipped) else { return Ok(()) };
        request.headers.insert(&header, new);
        let outcome = outcome(name, request);
        prop_assert!(outcome.is_err() || same, "{name}: {header}: {old:?} became {flipped:?}");
    }
}

#[test]
fn every_preset_has_a_header_to_flip() {
    for name in SIGNED {
        assert!(!proven_headers(scheme_of(name)).is_empty(), "{name}");
    }
}

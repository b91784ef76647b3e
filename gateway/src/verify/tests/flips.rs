//! One flipped bit, wherever it is in what is proven, and the request is refused.

use std::{collections::BTreeSet, sync::LazyLock};

use super::*;
use crate::verify::{
    scheme::{Encoding, Family, Scheme, TimestampSource, preset_names},
    template::Part,
};

/// Each takes a preset, a place and a bit by chance.
const CASES: u32 = 2000;

/// Secrets in the forms that schemes ask for.
const SECRETS: [&str; 3] =
    [SECRET, "00112233445566778899aabbccddeeff", "c2x1aWNlLXRlc3RzLXNpZ24td2l0aC10aGlzISE="];

/// A preset that needs nothing but a secret, and one that fits it.
#[derive(Clone, Copy, Debug)]
struct Signable {
    name: &'static str,
    secret: &'static str,
}

static SIGNABLE: LazyLock<Vec<Signable>> = LazyLock::new(|| {
    let fitting = |name| SECRETS.into_iter().map(move |secret| Signable { name, secret });
    preset_names().filter_map(|name| fitting(name).find(Signable::takes_what_it_signs)).collect()
});

impl Signable {
    fn takes_what_it_signs(&self) -> bool {
        let scheme = self.scheme();
        // Where nothing is proven, nothing can be refused.
        !matches!(scheme.family, Family::None {})
            && self.sign(b"{}".to_vec()).is_some_and(|request| self.outcome(request).is_ok())
    }

    fn scheme(&self) -> &'static Scheme {
        &preset(self.name).unwrap().scheme
    }

    fn sign(&self, body: Vec<u8>) -> Option<Unverified> {
        let mut request = request();
        request.body = body.into();
        let signer = Signer::new(self.scheme(), self.secret.as_bytes()).ok()?;
        signer.sign(&mut request, None).ok().map(|()| request)
    }

    fn outcome(&self, request: Unverified) -> Result<(), Refused> {
        let now = request.received_at;
        ready(verifier(&by_preset(self.name, &[self.secret])).verify(request, now)).map(drop)
    }
}

fn any_signable() -> impl Strategy<Value = Signable> {
    prop::sample::select(&SIGNABLE[..])
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
        Family::Jws(scheme) => places.push(scheme.from.clone()),
        Family::Basic(_) => places.push("header:authorization".parse().unwrap()),
        Family::Rfc9421(_) => {
            places.extend(["header:signature", "header:signature-input"].map(|place| place.parse().unwrap()));
        }
        Family::None {} => {}
    }
    places.iter().filter_map(|place| place.to_string().strip_prefix("header:").map(str::to_owned)).collect()
}

/// Whether a change of the body has to be noticed.
fn covers_body(scheme: &Scheme) -> bool {
    matches!(&scheme.family, Family::Signature(scheme) if scheme.signs_body)
}

/// Whether a change is only one of a letter's case where either counts: of hex digits, and of the word `Basic`.
fn says_the_same(scheme: &Scheme, old: &[u8], new: &[u8]) -> bool {
    const WORD: usize = "Basic".len();
    match &scheme.family {
        Family::Signature(scheme) => scheme.encoding == Encoding::Hex && new.eq_ignore_ascii_case(old),
        Family::Basic(_) => new[..WORD].eq_ignore_ascii_case(&old[..WORD]) && new[WORD..] == old[WORD..],
        Family::Jws(_) | Family::Token(_) | Family::Rfc9421(_) | Family::None {} => false,
    }
}

fn flip(bytes: &[u8], at: prop::sample::Index, bit: u8) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    let at = at.index(flipped.len());
    flipped[at] ^= 1 << bit;
    flipped
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_flipped_bit_of_the_body_is_refused(
        preset in any_signable().prop_filter("the body is not covered", |preset| covers_body(preset.scheme())),
        body in prop::collection::vec(any::<u8>(), 1..200),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        // Some sign only what is a form, or JSON.
        let Some(mut request) = preset.sign(body.clone()) else { return Ok(()) };
        prop_assert!(preset.outcome(request.clone()).is_ok());
        request.body = flip(&body, at, bit).into();
        prop_assert!(preset.outcome(request).is_err());
    }

    #[test]
    fn a_flipped_bit_of_a_header_that_is_proven_is_refused(
        preset in any_signable().prop_filter("no header is proven", |p| !proven_headers(p.scheme()).is_empty()),
        body in prop::collection::vec(any::<u8>(), 0..50),
        header: prop::sample::Index,
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let Some(mut request) = preset.sign(body) else { return Ok(()) };
        let headers: Vec<_> = proven_headers(preset.scheme()).into_iter().collect();
        let header: HeaderName = header.get(&headers).parse().unwrap();
        let Some(old) = request.headers.get(&header).cloned() else { return Ok(()) };
        let flipped = flip(old.as_bytes(), at, bit);
        let same = says_the_same(preset.scheme(), old.as_bytes(), &flipped);
        // What is no header value gets no further than the HTTP parser.
        let Ok(new) = HeaderValue::from_bytes(&flipped) else { return Ok(()) };
        request.headers.insert(&header, new);
        let outcome = preset.outcome(request);
        prop_assert!(outcome.is_err() || same, "{header}: {old:?} became {flipped:?}");
    }
}

#[test]
fn there_are_presets_to_flip_bits_of() {
    let names: Vec<_> = SIGNABLE.iter().map(|preset| preset.name).collect();
    assert!(SIGNED.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(names.len() >= 60, "{}: {names:?}", names.len());
    let by_header = SIGNABLE.iter().filter(|preset| !proven_headers(preset.scheme()).is_empty());
    assert!(by_header.count() >= 60, "{names:?}");
}

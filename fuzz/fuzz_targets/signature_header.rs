//! Any value in any place where a provider puts its proof: nothing panics, and without the secret nobody gets in.

#![no_main]

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sluice::{
    clock::Timestamp,
    verify::{
        Unverified,
        scheme::{Family, Field, TimestampSource, preset},
    },
};

use senders::{Sender, choose, plant, senders, tag};

#[expect(dead_code, reason = "every target uses a part of it")]
mod senders;

/// A place, and a sender with a request whose proof is in there.
struct Place {
    sender: Sender,
    request: Unverified,
    header: HeaderName,
}

static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| senders().into_iter().filter_map(Place::of).collect());

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let Some((place, data)) = choose(&PLACES, data) else { return };
    let Ok(value) = HeaderValue::from_bytes(data.trim_ascii()) else { return };
    let mut request = place.request.clone();
    // A body of this run's own: what was signed once proves nothing of it.
    request.body = [&b"another body: "[..], data].concat().into();
    request.headers.insert(&place.header, value);
    let accepted = place.sender.accepts(request, Some(Timestamp::default()));
    assert!(!accepted, "`{}` let in a forgery", place.sender.preset);
});

impl Place {
    fn of(sender: Sender) -> Option<Self> {
        let Family::Signature(scheme) = &preset(&sender.preset)?.scheme.family else { return None };
        let time = scheme.timestamp.iter().filter_map(|field| match &field.from {
            TimestampSource::Field(field) => Some(field),
            TimestampSource::Signature(_) => None,
        });
        let header = scheme.signature.from.iter().chain(time).find_map(|field| match field {
            Field::Header(name) => Some(name.clone()),
            Field::Query(_) | Field::Form(_) | Field::Json(_) | Field::Var(_) | Field::Claim(_) => None,
        });
        let request = sender.requests.first().cloned()?;
        scheme.signs_body.then_some(())?;
        Some(Self { request, header: header?, sender })
    }
}

fn seeds() -> impl Iterator<Item = Vec<u8>> {
    let values = PLACES.iter().enumerate().flat_map(|(index, place)| {
        let values = place.sender.requests.iter().filter_map(|request| request.headers.get(&place.header));
        values.map(move |value| [&tag(index)[..], value.as_bytes()].concat())
    });
    values.collect::<Vec<_>>().into_iter()
}

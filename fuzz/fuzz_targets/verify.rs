//! Any request, sent to a route of any provider: nothing panics, with a clock and without.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice::clock::Timestamp;

use senders::{Sender, choose, plant, read, senders, tag, write};

mod senders;

static SENDERS: LazyLock<Vec<Sender>> = LazyLock::new(senders);

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let Some((sender, data)) = choose(&SENDERS, data) else { return };
    let Some(request) = read(data) else { return };
    sender.accepts(request.clone(), None);
    sender.accepts(request, Some(Timestamp::from_millis(1_700_000_000_000)));
});

fn seeds() -> impl Iterator<Item = Vec<u8>> {
    let all = SENDERS.iter().enumerate();
    all.flat_map(|(index, sender)| {
        sender.requests.iter().map(move |request| [&tag(index)[..], &write(request)].concat())
    })
}

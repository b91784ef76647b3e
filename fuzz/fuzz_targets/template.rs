//! Any template over any request: reading it does not panic, it is written as it was read, and what is signed by it is
//! let in.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use sluice::{
    config::{Secret, Verify},
    verify::{
        Settings, Signer, Verifier,
        scheme::{Family, Scheme, Template, presets},
    },
};

use senders::{SECRET, Sender, plant, read, write};

#[expect(dead_code, reason = "every target uses a part of it")]
mod senders;

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let Some(end) = data.iter().position(|byte| *byte == 0) else { return };
    let Ok(text) = std::str::from_utf8(&data[..end]) else { return };
    let Ok(template) = text.parse::<Template>() else { return };
    assert_eq!(template.to_string(), text);
    let Some(mut request) = read(&data[end + 1..]) else { return };
    // Our URL and keys that are part of the text need a config of their own: `verify` has them.
    let Ok(scheme) = scheme(text) else { return };
    let signed = Signer::new(&scheme, SECRET.as_bytes()).is_ok_and(|signer| signer.sign(&mut request, None).is_ok());
    if signed && !text.contains("x-signature") {
        let now = request.received_at;
        assert!(sender(scheme).accepts(request, Some(now)), "`{text}` is signed in one way and checked in another");
    }
});

fn scheme(text: &str) -> Result<Scheme, serde_json::Error> {
    serde_json::from_value(json!({
        "family": "signature",
        "algorithm": "hmac-sha256",
        "signature": { "from": "header:x-signature" },
        "timestamp": { "from": "header:x-timestamp" },
        "signed": text,
        "signs_body": false,
    }))
}

fn sender(scheme: Scheme) -> Sender {
    let settings = Settings::new(Arc::new(scheme), vec![Secret::new(SECRET.as_bytes(), "fuzz")]);
    let verifier = Verifier::new(&Verify::Proof(Box::new(settings)), &Arc::default());
    Sender { preset: String::new(), verifier, requests: Vec::new() }
}

/// Each preset's templates over each of a few requests.
fn seeds() -> Vec<Vec<u8>> {
    let requests: Vec<_> =
        senders::senders().iter().filter_map(|sender| sender.requests.first().map(write)).collect();
    let texts = presets().filter_map(|preset| match &preset.scheme.family {
        Family::Signature(scheme) => Some(scheme.signed.iter().map(Template::to_string).collect::<Vec<_>>()),
        Family::Jws(_) | Family::Token(_) | Family::Basic(_) | Family::Rfc9421(_) | Family::None {} => None,
    });
    texts
        .flatten()
        .zip(requests.iter().cycle())
        .map(|(text, request)| [text.as_bytes(), b"\0", request].concat())
        .collect()
}

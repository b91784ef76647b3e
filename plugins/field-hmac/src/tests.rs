use sluice_plugin::{Judgement, Proven, Reply, Request, Verify, secrets, testing};

use super::*;

const CONFIG: &str = r#"{ "fields": ["id", "amount", "currency"], "id": "id", "type": "event" }"#;
const BODY: &str = r#"{ "event": "paid", "amount": 1250, "currency": "EUR", "id": "p1", "note": "any" }"#;
/// When the SDK's requests are received, in seconds.
const NOW: u64 = 1_767_225_600;

fn sign(text: &str) -> String {
    let tag = secrets::hmac(Algorithm::Sha256, KeyEncoding::Text, text.as_bytes()).unwrap();
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is said of a request that was signed with a body of its own.
fn judge(body: &str, signed: &str, at: u64) -> Judgement {
    testing::set_secrets(["hush"]);
    let signature = sign(&format!("{signed}timestamp={at}"));
    let request = Request::builder().body(body).header("x-signature", signature);
    let request = request.header("x-timestamp", at.to_string()).build();
    testing::verify::<FieldHmac>(CONFIG).unwrap().verify(&request).unwrap()
}

const SIGNED: &str = "amount=1250\ncurrency=EUR\nid=p1\n";

#[test]
fn fields_that_were_signed_are_proven() {
    let proven = Proven::default().delivery_id("p1").event_type("paid");
    assert_eq!(judge(BODY, SIGNED, NOW), Judgement::Accept(proven));
}

#[test]
fn what_is_not_as_it_was_signed_is_rejected() {
    for (body, signed, at, why) in [
        (BODY.replace("1250", "1251"), SIGNED, NOW, "by none of the secrets"),
        (BODY.replace("\"currency\": \"EUR\", ", ""), SIGNED, NOW, "`currency` is no text or number"),
        (BODY.replace("EUR", "EUR\\nid=p0"), SIGNED, NOW, "`currency` has a line break"),
        (BODY.to_owned(), SIGNED, NOW - 301, "the time is 301 s off, tolerance is 300 s"),
        (BODY.to_owned(), SIGNED, NOW + 301, "the time is 301 s off"),
    ] {
        let Judgement::Reject(reason) = judge(&body, signed, at) else { panic!("{body} is not rejected") };
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn headers_that_prove_must_be_there_once() {
    testing::set_secrets(["hush"]);
    let plugin: FieldHmac = testing::verify(CONFIG).unwrap();
    let twice = Request::builder().body(BODY).header("x-signature", "00").header("x-signature", "01").build();
    for request in [Request::builder().body(BODY).build(), twice] {
        let rejected = Judgement::reject("`x-signature` is not there once");
        assert_eq!(plugin.verify(&request), Ok(rejected));
    }
    assert!(matches!(plugin.verify(&Request::builder().body("[").build()), Err(Error::Invalid(_))));
}

#[test]
fn challenge_is_signed_and_nothing_that_could_be_an_event() {
    testing::set_secrets(["hush"]);
    let plugin: FieldHmac = testing::verify(CONFIG).unwrap();
    let ask = |challenge: &str| {
        let body = format!(r#"{{"challenge":"{challenge}"}}"#);
        plugin.verify(&Request::builder().body(body).build()).unwrap()
    };
    assert_eq!(ask("abc123"), Judgement::Respond(Reply::text(sign("challenge:abc123"))));
    for unfit in ["a=b", "x\\ny", &"a".repeat(MAX_CHALLENGE + 1)] {
        assert!(matches!(ask(unfit), Judgement::Reject(_)), "{unfit}");
    }
}

#[test]
fn config_that_would_prove_too_little_is_refused() {
    let refused = |config: &str| testing::verify::<FieldHmac>(config).err().unwrap();
    assert_eq!(
        refused(r#"{ "fields": [] }"#),
        Error::config("`fields`: is empty, so nothing would be proven")
    );
    let unsigned = r#"{ "fields": ["amount"], "id": "id" }"#;
    assert_eq!(refused(unsigned), Error::config("`id`: `id` is not one of `fields`, so it is not proven"));
}

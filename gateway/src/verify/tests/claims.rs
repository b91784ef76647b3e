//! What a token says of its event.

use super::*;

#[test]
fn a_tokens_claims_say_which_event_it_is() {
    // {"alg":"HS256"} and {"jti":"j1","n":5} under the secret `k`.
    let token = {
        use ::hmac::{Hmac, KeyInit as _, Mac as _};
        let encode = |bytes: &[u8]| scheme::Encoding::Base64url.encode(bytes).replace('=', "");
        let message = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(br#"{"jti":"j1","n":5}"#));
        let tag = Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap().chain_update(&message).finalize();
        format!("{message}.{}", encode(&tag.into_bytes()))
    };
    let scheme: scheme::Scheme = toml::from_str(
        "family = 'jws'\nfrom = 'header:X-Jwt'\nalgs = ['HS256']\nid = 'claim:jti'\ntype = ['claim:none', 'claim:n']",
    )
    .unwrap();
    let settings = Settings::new(scheme.into(), vec![Secret::new(&b"k"[..], "test")]);
    let verifier = verifier(&config::Verify::Proof(Box::new(settings)));
    let mut request = request();
    request.headers.insert("x-jwt", token.parse().unwrap());
    let genuine = ready(verifier.verify(request, Timestamp::default())).unwrap().genuine().unwrap();
    assert_eq!(genuine.matched(), Some(0));
    let event = genuine.into_event(Bytes::new());
    assert_eq!((event.delivery_id.as_deref(), event.event_type.as_deref()), (Some("j1"), Some("5")));
}

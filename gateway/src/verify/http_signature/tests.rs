use http::{HeaderName, HeaderValue};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::Value;

use super::*;
use crate::verify::{
    Unverified,
    scheme::{Encoding, Family, Scheme, preset},
    tests::{ready, request},
};

/// RFC 9421, appendix B.1.2 (test-key-rsa-pss), as a plain RSA key.
const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2\n\
    +QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+\n\
    oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq\n\
    gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W\n\
    Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4\n\
    aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI\n\
    2wIDAQAB\n-----END PUBLIC KEY-----\n";

/// Appendix B.1.4.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";

/// Appendix B.1.5.
const SHARED: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

const B21: (&str, &str) = (
    r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
    "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsck\
     zXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE\
     +O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1b\
     LhdxO5Nyt8C8ssinQ98Xw9Q==:",
);
const B22: (&str, &str) = (
    "sig-b22=(\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473\
     ;keyid=\"test-key-rsa-pss\";tag=\"header-example\"",
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSo\
     wOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQ\
     h62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaU\
     Eb0rQl3/XaVe4bXTugEjHSw==:",
);
const B25: (&str, &str) = (
    r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
);
const B26: (&str, &str) = (
    "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473\
     ;keyid=\"test-key-ed25519\"",
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
);

/// The request of appendix B.2, with these fields.
fn example(input: &str, signature: &str) -> Unverified {
    let mut request = request();
    (request.path, request.query) = ("/foo".to_owned(), Some("param=Value&Pet=dog".to_owned()));
    request.body = r#"{"hello": "world"}"#.into();
    request.headers.clear();
    for (name, value) in [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        ("content-length", "18"),
        ("signature-input", input),
        ("signature", signature),
    ] {
        request.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    request
}

fn settings(algorithm: &str, keys: &str) -> Settings {
    let text = format!("family = 'rfc9421'\nalgorithm = '{algorithm}'\n{keys}");
    let scheme: Scheme = toml::from_str(&text).unwrap();
    Settings::new(scheme.into(), Vec::new())
}

fn with_public(algorithm: &str, pem: &str, keys: &str) -> Settings {
    let mut settings = settings(algorithm, keys);
    settings.public_keys.push(Secret::new(pem.as_bytes(), "test"));
    settings
}

fn with_secret(secret: &str) -> Settings {
    let mut settings = settings("hmac-sha256", "");
    settings.secrets.push(Secret::new(secret.as_bytes(), "test"));
    settings
}

const NOW: u64 = 1_618_884_473;

fn run(settings: &Settings, request: &Unverified, now: u64) -> Result<Option<usize>, &'static str> {
    let Family::Rfc9421(scheme) = &settings.scheme.family else { panic!("another family") };
    let check = HttpSignatureCheck::new(scheme, settings, &Arc::default());
    let reader = Reader::new(request, &settings.vars);
    let now = Some(Timestamp::from_millis(now * 1000));
    ready(check.check(&reader, now, &mut ())).map_err(|refused| refused.code())
}

/// The base of what a field covers, for the request of appendix B.2.
fn base(input: &str, url: Option<&str>) -> Result<String, &'static str> {
    let request = example(input, "a=:AA==:");
    let (vars, url) = (crate::verify::Vars::default(), url.map(|url| url.parse().unwrap()));
    let reader = Reader::new(&request, &vars);
    let covered: Dictionary = Parser::new(input).parse().unwrap();
    let Some((_, ListEntry::InnerList(covered))) = covered.first() else { panic!("no list") };
    let base = Base { reader: &reader, url: url.as_ref() }.of(covered).map_err(|refused| refused.code())?;
    Ok(String::from_utf8(base).unwrap())
}

#[test]
fn the_examples_of_the_rfc_are_let_in() {
    let rsa = with_public("rsa-pss-sha512", RSA_PSS, "");
    let ed25519 = with_public("ed25519", ED25519, "");
    for (settings, (input, signature)) in
        [(&rsa, B21), (&rsa, B22), (&with_secret(SHARED), B25), (&ed25519, B26)]
    {
        assert_eq!(run(settings, &example(input, signature), NOW), Ok(Some(0)), "{input}");
        let mut other = example(input, signature);
        other.headers.insert("content-digest", HeaderValue::from_static("sha-512=:AA==:"));
        assert!(run(settings, &other, NOW).is_err());
    }
    assert_eq!(run(&with_secret("AAAA"), &example(B25.0, B25.1), NOW), Err("signature_invalid"));
}

#[test]
fn of_several_signatures_one_is_enough() {
    let ed25519 = with_public("ed25519", ED25519, "");
    let both = |first: (&str, &str), second: (&str, &str)| {
        example(&format!("{}, {}", first.0, second.0), &format!("{}, {}", second.1, first.1))
    };
    assert_eq!(run(&ed25519, &both(B22, B26), NOW), Ok(Some(0)));
    assert_eq!(run(&ed25519, &both(B26, B22), NOW), Ok(Some(0)));
    assert_eq!(run(&ed25519, &both(B22, B25), NOW), Err("signature_invalid"));
    let mut split = example(B22.0, B22.1);
    split.headers.append("signature-input", HeaderValue::from_str(B26.0).unwrap());
    split.headers.append("signature", HeaderValue::from_str(B26.1).unwrap());
    assert_eq!(run(&ed25519, &split, NOW), Ok(Some(0)));
    let swapped = example(&B26.0.replace("sig-b26", "other"), B26.1);
    assert_eq!(run(&ed25519, &swapped, NOW), Err("signature_malformed"));
}

#[test]
fn what_is_derived_is_written_as_the_rfc_has_it() {
    let input =
        r#"a=("@method" "@target-uri" "@authority" "@scheme" "@request-target" "@path" "@query");created=1"#;
    let lines = |url: Option<&str>| base(input, url).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let expected = |authority: &str, scheme: &str, target: &str| {
        vec![
            "\"@method\": POST".to_owned(),
            format!("\"@target-uri\": {target}?param=Value&Pet=dog"),
            format!("\"@authority\": {authority}"),
            format!("\"@scheme\": {scheme}"),
            "\"@request-target\": /foo?param=Value&Pet=dog".to_owned(),
            "\"@path\": /foo".to_owned(),
            "\"@query\": ?param=Value&Pet=dog".to_owned(),
            format!("\"@signature-params\": {}", &input[2..]),
        ]
    };
    assert_eq!(lines(None), expected("example.com", "https", "https://example.com/foo"));
    let url = "http://Hooks.test:80";
    assert_eq!(lines(Some(url)), expected("hooks.test", "http", "http://Hooks.test:80/foo"));
    let port = "https://hooks.test:8443";
    assert_eq!(lines(Some(port)), expected("hooks.test:8443", "https", "https://hooks.test:8443/foo"));
}

#[test]
fn parameters_of_the_query_are_encoded_anew() {
    let value = |query: &str, name: &str| {
        let mut request = example("a=()", "a=:AA==:");
        request.query = Some(query.to_owned());
        let vars = crate::verify::Vars::default();
        let reader = Reader::new(&request, &vars);
        let covered: Dictionary =
            Parser::new(&format!("a=(\"@query-param\";name=\"{name}\")")).parse().unwrap();
        let Some((_, ListEntry::InnerList(covered))) = covered.first() else { panic!("no list") };
        let base = Base { reader: &reader, url: None }.of(covered).map_err(|refused| refused.code())?;
        let first = String::from_utf8(base).unwrap().lines().next().unwrap().to_owned();
        Ok::<_, &'static str>(first)
    };
    // RFC 9421 §2.2.8.
    let query = "var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&e=";
    for (name, expected) in [
        ("var", "this%20is%20a%20big%0Amultiline%20value"),
        ("bar", "with%20plus%20whitespace"),
        ("fa%C3%A7ade%22%3A%20", "something"),
        ("e", ""),
    ] {
        assert_eq!(value(query, name), Ok(format!("\"@query-param\";name=\"{name}\": {expected}")));
    }
    assert_eq!(value("a=1&a=2", "a"), Err("component_unsupported"));
    assert_eq!(value("b=1", "a"), Err("component_unsupported"));
}

#[test]
fn components_that_we_cannot_vouch_for_are_refused() {
    for input in [
        r#"a=("date";sf)"#,
        r#"a=("date";bs)"#,
        r#"a=("date";req)"#,
        r#"a=("date";tr)"#,
        r#"a=("date";key="a")"#,
        r#"a=("@status")"#,
        r#"a=("@signature-params")"#,
        r#"a=("@query-param")"#,
        "a=(date)",
    ] {
        assert_eq!(base(input, None), Err("component_unsupported"), "{input}");
    }
    assert_eq!(base(r#"a=("x-missing")"#, None), Err("field_missing"));
    assert_eq!(base(r#"a=("date" "date")"#, None), Err("signature_malformed"));
    assert_eq!(base(&format!("a=({})", "\"date\" ".repeat(65)), None), Err("signature_malformed"));
}

#[test]
fn the_scheme_says_what_must_be_covered() {
    let covering =
        |components: &str| with_public("ed25519", ED25519, &format!("components = [{components}]"));
    let request = example(B26.0, B26.1);
    assert_eq!(run(&covering("'@method', 'content-type'"), &request, NOW), Ok(Some(0)));
    assert_eq!(run(&covering("'@query'"), &request, NOW), Err("component_missing"));
    assert_eq!(run(&covering("'content-digest'"), &request, NOW), Err("component_missing"));
    let mut empty = request.clone();
    empty.body.clear();
    empty.headers.remove("content-digest");
    assert_eq!(run(&covering("'content-digest'"), &empty, NOW), Ok(Some(0)));
}

#[test]
fn a_digest_that_is_there_must_be_right() {
    let ed25519 = with_public("ed25519", ED25519, "");
    let mut request = example(B26.0, B26.1);
    // Of `{"hello": "world"}`.
    for (digest, expected) in [
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", Ok(Some(0))),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, md5=:AA==:", Ok(Some(0))),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=:AA==:", Err("body_hash_invalid")),
        ("md5=:AA==:", Err("body_hash_invalid")),
        ("sha-256=X48E9", Err("body_hash_invalid")),
        ("", Err("body_hash_invalid")),
    ] {
        request.headers.insert("content-digest", HeaderValue::from_static(digest));
        assert_eq!(run(&ed25519, &request, NOW), expected, "{digest}");
    }
}

#[test]
fn times_of_the_signature_are_judged() {
    let secret = with_secret(SHARED);
    let signed = |parameters: &str| {
        let input = format!("a=(){parameters}");
        let mut mac =
            <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&STANDARD.decode(SHARED).unwrap()).unwrap();
        hmac::Mac::update(&mut mac, format!("\"@signature-params\": (){parameters}").as_bytes());
        let tag = hmac::Mac::finalize(mac).into_bytes();
        example(&input, &format!("a=:{}:", Encoding::Base64.encode(&tag)))
    };
    for (parameters, expected) in [
        (";created=1000", Ok(Some(0))),
        (";created=700", Ok(Some(0))),
        (";created=699", Err("timestamp_stale")),
        (";created=1301", Err("timestamp_future")),
        (";created=1000;expires=1000", Ok(Some(0))),
        (";created=1000;expires=999", Err("expired")),
        (";created=-5", Err("timestamp_malformed")),
        (";created=\"1000\"", Err("timestamp_malformed")),
        ("", Err("timestamp_missing")),
        (";created=1000;alg=\"hmac-sha256\"", Ok(Some(0))),
        (";created=1000;alg=\"ed25519\"", Err("algorithm_unknown")),
        (";created=1000;alg=token", Err("algorithm_unknown")),
    ] {
        assert_eq!(run(&secret, &signed(parameters), 1000), expected, "{parameters}");
    }
}

#[test]
fn a_curve_signs_in_fixed_length() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let settings = with_public("ecdsa-p256-sha256", &pair.public_key_pem(), "");
    let (random, pkcs8) = (SystemRandom::new(), pair.serialize_der());
    let input = r#"a=("@method");created=1618884473;alg="ecdsa-p256-sha256""#;
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random).unwrap();
    let signature = signer.sign(&random, base(input, None).unwrap().as_bytes()).unwrap();
    let text = format!("a=:{}:", Encoding::Base64.encode(signature.as_ref()));
    assert_eq!(run(&settings, &example(input, &text), NOW), Ok(Some(0)));
}

#[test]
fn a_key_of_a_set_is_found_by_its_id() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/providers/rsa.json")).unwrap();
    let signed = &fixture["rsa_v1_5_sha256"];
    let (_, input) = signed["base"].as_str().unwrap().rsplit_once(": ").unwrap();
    let signature = format!("a=:{}:", signed["signature"].as_str().unwrap());
    let mut settings = settings("rsa-pkcs1-sha256", "");
    settings.jwks = Some(fixture["jwks"].to_string().into_bytes().into());
    let request = example(&format!("a={input}"), &signature);
    assert_eq!(run(&settings, &request, 1_700_000_000), Ok(None));
    settings.jwks = Some(fixture["jwks"].to_string().replace("g1", "g2").into_bytes().into());
    assert_eq!(run(&settings, &request, 1_700_000_000), Err("key_unknown"));
}

#[test]
fn what_is_no_signature_is_refused() {
    let secret = with_secret(SHARED);
    for (input, signature, expected) in [
        ("a=(", "a=:AA==:", "signature_malformed"),
        ("a=()", "a=AA", "signature_malformed"),
        ("a=()", "a=:A:", "signature_malformed"),
        ("a=1", "a=:AA==:", "signature_malformed"),
        ("", "", "signature_malformed"),
        ("a=()", "a=:AA==:", "signature_invalid"),
    ] {
        assert_eq!(run(&secret, &example(input, signature), NOW), Err(expected), "{input} {signature}");
    }
    let mut request = example("a=()", "a=:AA==:");
    request.headers.remove("signature");
    assert_eq!(run(&secret, &request, NOW), Err("signature_missing"));
    assert_eq!(run(&with_secret(""), &example("a=()", "a=:AA==:"), NOW), Err("no_active_secret"));
}

#[test]
fn schemes_of_other_algorithms_are_refused_when_they_are_read() {
    let text = "family = 'rfc9421'\nalgorithm = 'hmac-sha1'";
    assert!(toml::from_str::<Scheme>(text).unwrap_err().message().contains("RFC 9421 knows no signatures"));
    assert!(preset("rfc9421-ed25519").is_some());
}

use std::{collections::BTreeMap, io::Read};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::Sink,
};

use crate::common::inline;

/// Those that say when they were signed; the gateway's own tests judge them by a clock of their own.
const TIMED: [&str; 3] = ["messagebird-legacy", "vonage-jwt", "zendesk-legacy-body-first"];

/// How a wrong proof is refused: as everywhere, as some provider wants it, or as no HTTP at all.
const REFUSED: [u16; 4] = [400, 401, 403, 498];

#[tokio::test]
async fn every_vector_without_a_clock_comes_out_right() {
    let vectors: Vec<_> = vectors().into_iter().filter(is_for_any_time).collect();
    assert!(vectors.len() > 400, "only {} are left", vectors.len());
    let routes = routes(&vectors);
    let sink = Sink::start().await;
    let gateway = Setup::new().sink(&sink).config(&config(&routes)).start().await;
    let mut wrong = Vec::new();
    for vector in &vectors {
        let host = format!("v{}.test", routes[&route(vector)]);
        let status = status(&gateway, vector, &host).await;
        let right = match vector["valid"] == true {
            true => (200..300).contains(&status),
            false => REFUSED.contains(&status),
        };
        if !right {
            wrong.push(format!("{}: {status}", vector["id"]));
        }
    }
    assert!(wrong.is_empty(), "{} came out wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn vectors() -> Vec<Value> {
    let packed = include_bytes!("../../fixtures/providers/vectors.json.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whether it comes out the same at any time, its keys make a config, and it leaves the choice of the host to us.
fn is_for_any_time(vector: &Value) -> bool {
    let timed = TIMED.iter().any(|preset| vector["scheme"] == *preset) && vector["valid"] == true;
    let usable = !["empty-key", "bad-hex", "bad-base64"].iter().any(|reason| vector["reason"] == *reason);
    let mut headers = vector["headers"].as_object().unwrap().keys();
    vector["now"].is_null() && !timed && usable && !headers.any(|name| name.eq_ignore_ascii_case("host"))
}

/// What tells one route from another, and the number of its host: many vectors share a path.
fn routes(vectors: &[Value]) -> BTreeMap<String, usize> {
    let mut routes = BTreeMap::new();
    for vector in vectors {
        let number = routes.len();
        routes.entry(route(vector)).or_insert(number);
    }
    routes
}

/// The keys of a route that takes the vector, in TOML.
fn route(vector: &Value) -> String {
    let (origin, path, _) = cut(vector["url"].as_str().unwrap());
    let mut verify = Map::from_iter([("preset".to_owned(), vector["scheme"].clone())]);
    let list = |keys: &[&str]| {
        let texts = keys.iter().flat_map(|key| match &vector[*key] {
            Value::Array(several) => several.clone(),
            one => vec![one.clone()],
        });
        texts.filter(|text| !text.is_null()).collect::<Vec<_>>()
    };
    let (secrets, keys) = (list(&["secret", "secrets"]), list(&["public_key", "public_key_pem"]));
    let jwks = vector["jwks"].as_object().map(|_| Value::from(vector["jwks"].to_string()));
    let mut vars = vector["vars"].as_object().cloned().unwrap_or_default();
    if vector["scheme"] == "aws-sns" {
        let message: Value = serde_json::from_slice(&body(vector)).unwrap();
        vars.insert("topics".to_owned(), message["TopicArn"].clone());
    }
    let given = [
        ("secrets", (!secrets.is_empty()).then(|| secrets.into())),
        ("public_keys", (!keys.is_empty()).then(|| keys.into())),
        ("jwks", jwks),
        ("vars", (!vars.is_empty()).then(|| vars.into())),
        ("url", Some(origin.into())),
    ];
    verify.extend(given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let (path, verify) = (Value::from(path), inline(&verify.into()));
    format!("path = {path}\nmethods = [{}]\nverify = {verify}\ndeliver = [\"out\"]\n", vector["method"])
}

fn config(routes: &BTreeMap<String, usize>) -> String {
    let routes = routes.iter().map(|(route, number)| {
        format!("[[routes]]\nname = \"v{number}\"\nhost = \"v{number}.test\"\ndedupe = false\n{route}")
    });
    format!("[destinations.out]\nurl = \"$SINK/in\"\n{}", routes.collect::<String>())
}

/// The answer to the vector's request, which is sent as it is: some no client would send.
async fn status(gateway: &Gateway, vector: &Value, host: &str) -> u16 {
    let ((_, path, query), body) = (cut(vector["url"].as_str().unwrap()), body(vector));
    let mut head = format!("{} {path}{query} HTTP/1.1\r\n", vector["method"].as_str().unwrap());
    for (name, values) in vector["headers"].as_object().unwrap() {
        let several = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        for value in values.as_str().into_iter().chain(several) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += &format!("host: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut connection = gateway.connect().await;
    connection.write(head).await.unwrap();
    connection.write(body).await.unwrap();
    connection.answer().await.unwrap().unwrap().status
}

fn body(vector: &Value) -> Vec<u8> {
    match (&vector["body"], &vector["body_base64"], &vector["body_repeat"]) {
        (_, Value::String(base64), _) => BASE64.decode(base64).unwrap(),
        (_, _, Value::Array(repeat)) => {
            let times = usize::try_from(repeat[1].as_u64().unwrap()).unwrap();
            repeat[0].as_str().unwrap().repeat(times).into()
        }
        (body, _, _) => body.as_str().unwrap_or_default().into(),
    }
}

/// Origin, path and query with its `?`, as they are written.
fn cut(url: &str) -> (&str, &str, &str) {
    let authority = url.find("://").unwrap() + "://".len();
    let origin = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    let query = url[origin..].find('?').map_or(url.len(), |at| origin + at);
    let path = if origin == query { "/" } else { &url[origin..query] };
    (&url[..origin], path, &url[query..])
}

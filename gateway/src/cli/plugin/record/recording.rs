//! A masked event as the `event.json` of a case.

use super::mask::{Body, Masked};
use crate::cli::plugin::json::Json;

/// The file of a body that is not text.
pub(super) const BODY: &str = "body.bin";

pub(super) fn json(masked: &Masked) -> Json {
    let event = &masked.event;
    let text = |name: &str, text: &str| (name.to_owned(), Json::text(text));
    let mut members = vec![
        text("id", &event.id.to_string()),
        text("route", &event.route),
        text("received_at", &event.received_at.to_string()),
        text("method", event.method.as_str()),
        text("path", &masked.path),
    ];
    members.extend(masked.query.as_deref().map(|query| text("query", query)));
    members.extend(event.event_type.as_deref().map(|kind| text("event_type", kind)));
    if !masked.params.is_empty() {
        let params = masked.params.iter().map(|(name, value)| text(name, value)).collect();
        members.push(("params".to_owned(), Json::Object(params)));
    }
    if !masked.headers.is_empty() {
        members.push(("headers".to_owned(), headers(&masked.headers)));
    }
    members.push(match &masked.body {
        Body::Json(json) => ("body_json".to_owned(), json.clone()),
        Body::Text(body) => text("body", body),
        Body::Bytes(_) => text("body_file", BODY),
    });
    Json::Object(members)
}

/// A text for a header with one value, else a list.
fn headers(all: &[(String, String)]) -> Json {
    let mut members: Vec<(String, Json)> = Vec::new();
    for (name, value) in all {
        let value = Json::text(value);
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, Json::Array(values))) => values.push(value),
            Some((_, single)) => *single = Json::Array(vec![single.clone(), value]),
            None => members.push((name.clone(), value)),
        }
    }
    Json::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_headers_are_a_list() {
        let all = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(headers(&all), Json::parse(r#"{ "a": ["1", "3", "4"], "b": "2" }"#).unwrap());
    }
}

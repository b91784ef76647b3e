//! What a route answers, made ready when it is built.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;

use super::{Accepted, rejection::with_id};
use crate::{event::EventId, verify::scheme::Respond};

/// A route's answers, as far as they are not what they are everywhere.
#[derive(Clone, Debug, Default)]
pub struct RouteAnswers {
    status: Option<StatusCode>,
    headers: HeaderMap,
    /// Of accepted events; the event's id as JSON where neither a body nor a status is given.
    body: Option<Bytes>,
    /// Of requests that are not proven.
    pub(super) refused: Option<StatusCode>,
}

impl RouteAnswers {
    /// `respond` has been [checked](Respond::check).
    pub fn new(respond: &Respond) -> Self {
        let Respond { status, body, headers, refused } = respond;
        let code = |code: &Option<u16>| code.and_then(|code| StatusCode::from_u16(code).ok());
        let body = body.as_ref().map(|body| Bytes::from(body.clone().into_bytes()));
        let mut all = HeaderMap::new();
        if body.is_some() {
            all.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            all.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        let given = headers.iter().filter_map(|(name, value)| {
            Some((name.parse::<http::HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        });
        for (name, value) in given {
            all.insert(name, value);
        }
        let body = body.or_else(|| status.is_some().then(Bytes::new));
        Self { status: code(status), headers: all, body, refused: code(refused) }
    }

    /// The answer to an accepted event.
    pub(super) fn accepted(&self, accepted: &Accepted, request: EventId) -> Response<Full<Bytes>> {
        let mut response = match &self.body {
            None => accepted.answer(request),
            Some(body) => Response::new(Full::new(body.clone())),
        };
        *response.status_mut() = self.status.unwrap_or(accepted.status());
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        with_id(response, request)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::verify::scheme::{preset, presets};

    const ID: EventId = EventId::from_bytes([7; 16]);

    /// Status, content type and body.
    async fn answer(respond: &Respond, accepted: Accepted) -> (u16, Option<String>, String) {
        respond.check().unwrap();
        let (head, body) = RouteAnswers::new(respond).accepted(&accepted, ID).into_parts();
        assert_eq!(head.headers["x-request-id"], ID.to_string());
        let kind = head.headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), kind, String::from_utf8(body.into()).unwrap())
    }

    async fn of(text: &str) -> (u16, Option<String>, String) {
        answer(&toml::from_str(text).unwrap(), Accepted::New(ID)).await
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[tokio::test]
    async fn what_is_not_said_stays_as_it_is() {
        let json = format!(r#"{{"id":"{ID}"}}"#);
        assert_eq!(of("").await, (202, some("application/json"), json.clone()));
        assert_eq!(of("refused = 404").await, (202, some("application/json"), json.clone()));
        assert_eq!(of("headers = { x-a = \"b\" }").await, (202, some("application/json"), json));
        let duplicate = answer(&Respond::default(), Accepted::Duplicate(ID)).await;
        assert_eq!(duplicate.0, 200);
    }

    #[tokio::test]
    async fn a_status_alone_has_no_body_and_a_body_is_plain_text_unless_it_says() {
        assert_eq!(of("status = 204").await, (204, None, String::new()));
        let ok = "ok".to_owned();
        assert_eq!(of("body = \"ok\"").await, (202, some("text/plain; charset=utf-8"), ok.clone()));
        let xml = "status = 200\nbody = \"ok\"\nheaders = { content-type = \"text/xml\" }";
        assert_eq!(of(xml).await, (200, some("text/xml"), ok));
    }

    #[tokio::test]
    async fn a_duplicate_is_answered_as_the_first_one_was() {
        let adyen = &preset("adyen-payments").unwrap().scheme.common.respond;
        let first = answer(adyen, Accepted::New(ID)).await;
        assert_eq!(first, (200, some("text/plain"), "[accepted]".to_owned()));
        assert_eq!(answer(adyen, Accepted::Duplicate(ID)).await, first);
    }

    #[test]
    fn every_presets_answer_is_made_ready_in_full() {
        for preset in presets() {
            let Respond { status, headers, refused, .. } = &preset.scheme.common.respond;
            let answers = RouteAnswers::new(&preset.scheme.common.respond);
            assert_eq!(answers.status.map(|s| s.as_u16()), *status, "{}", preset.name);
            assert_eq!(answers.refused.map(|s| s.as_u16()), *refused, "{}", preset.name);
            assert!(headers.iter().all(|(name, value)| answers.headers[name] == *value), "{}", preset.name);
        }
    }
}

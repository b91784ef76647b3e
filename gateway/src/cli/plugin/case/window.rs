//! The `window.json` of a case for a `batch` plugin.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{body, headers, moment};
use crate::{
    event::{EventId, Message},
    plugin::{Item, Window},
};

/// `window.json`, key for key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWindow {
    route: String,
    destination: String,
    items: Vec<RawItem>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawItem {
    event: String,
    webhook_id: Option<String>,
    received_at: String,
    key: Option<String>,
    headers: Map<String, Value>,
    body: Option<String>,
    body_json: Option<Box<RawValue>>,
    body_file: Option<PathBuf>,
}

/// As the SDK's `Window::builder()`.
impl Default for RawWindow {
    fn default() -> Self {
        Self { route: "test".to_owned(), destination: "test".to_owned(), items: Vec::new() }
    }
}

/// As the SDK's `ItemBuilder`.
impl Default for RawItem {
    fn default() -> Self {
        Self {
            event: "019b76da-a800-7000-8000-000000000000".to_owned(),
            webhook_id: None,
            received_at: "2026-01-01T00:00:00Z".to_owned(),
            key: None,
            headers: Map::new(),
            body: None,
            body_json: None,
            body_file: None,
        }
    }
}

impl RawWindow {
    /// Files that it names lie in `dir`.
    pub(super) fn window(self, dir: &Path) -> Result<Window, String> {
        if self.items.is_empty() {
            return Err("it has no `items`; a window has one at least".to_owned());
        }
        let items = self.items.into_iter().map(|item| item.item(&self.destination, dir));
        Ok(Window {
            items: items.collect::<Result<_, _>>()?,
            route: self.route.into(),
            destination: self.destination.into(),
        })
    }
}

impl RawItem {
    fn item(self, destination: &str, dir: &Path) -> Result<Item, String> {
        let event: EventId =
            self.event.parse().map_err(|_| format!("`event` is `{}`, not a UUID", self.event))?;
        Ok(Item {
            event,
            webhook_id: self.webhook_id.unwrap_or_else(|| format!("{event}_{destination}_0")),
            received_at: moment(&self.received_at)?,
            message: Message {
                headers: headers(self.headers)?,
                body: body(self.body, self.body_json, self.body_file.map(|file| dir.join(file)))?,
                destinations: None,
                key: self.key,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(window: &str) -> Result<Window, String> {
        serde_json::from_str::<RawWindow>(window).map_err(|error| error.to_string())?.window(Path::new("."))
    }

    #[test]
    fn every_key_is_read() {
        let window = read(
            r#"{ "route": "clicks", "destination": "crm", "items": [
                { "event": "018f3c2e-7a10-7000-8000-000000000000", "received_at": "2026-03-01T12:00:00Z",
                  "key": "k", "headers": { "X-A": "1" }, "body_json": { "n":  1.50 } },
                { "webhook_id": "w", "body": "text" }] }"#,
        )
        .unwrap();
        assert_eq!((&*window.route, &*window.destination), ("clicks", "crm"));
        let [first, second] = &*window.items else { panic!("{window:?}") };
        assert_eq!(first.webhook_id, "018f3c2e-7a10-7000-8000-000000000000_crm_0");
        assert_eq!(first.received_at.as_millis(), 1_772_366_400_000);
        assert_eq!(
            (first.message.key.as_deref(), &first.message.body[..]),
            (Some("k"), &br#"{ "n":  1.50 }"#[..])
        );
        assert_eq!(first.message.headers.get("x-a").unwrap(), "1");
        assert_eq!((second.webhook_id.as_str(), &second.message.body[..]), ("w", &b"text"[..]));
    }

    #[test]
    fn mistakes_are_named() {
        for (window, because) in [
            ("{}", "no `items`"),
            (r#"{ "items": [{ "event": "7" }] }"#, "`event` is `7`"),
            (r#"{ "items": [{ "received_at": "noon" }] }"#, "not a time like"),
            (r#"{ "items": [{ "boddy": 1 }] }"#, "unknown field `boddy`"),
        ] {
            let error = read(window).unwrap_err();
            assert!(error.contains(because), "{error}");
        }
    }
}

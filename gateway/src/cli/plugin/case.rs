//! A case of a test: an event or a window, the plugin's config, and what is expected of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use self::window::RawWindow;
use super::{json::Json, unusable};
use crate::{
    clock::Timestamp,
    event::{Event, EventId, Headers},
    plugin::{Role, View, Window},
    verify::Proof,
};

mod window;

/// A folder with an `event.json` or a `window.json`, and beside it `config.json` and `expected.json` where there are any.
#[derive(Debug)]
pub(super) struct Case {
    dir: PathBuf,
    pub(super) subject: Subject,
    /// `None`: that of the whole run.
    pub(super) config: Option<Value>,
    pub(super) expected: Option<Json>,
}

/// What a plugin is called with.
#[derive(Debug)]
pub(super) enum Subject {
    Event(View),
    /// For a `batch` plugin.
    Window(Window),
}

impl Subject {
    /// What a plugin that is called with it is used for.
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Event(_) => Role::Step,
            Self::Window(_) => Role::Batch,
        }
    }
}

const EVENT: &str = "event.json";
const WINDOW: &str = "window.json";
const CONFIG: &str = "config.json";
const EXPECTED: &str = "expected.json";

impl Case {
    /// Reads every folder in `dir` that has an `event.json` or a `window.json`, in the order of their names.
    ///
    /// # Errors
    /// If there is none, or one cannot be read.
    pub(super) fn all(dir: &Path) -> anyhow::Result<Vec<Self>> {
        let entries = fs::read_dir(dir).map_err(|error| {
            unusable(format!(
                "failed to look for cases in `{}`: {error}; `--cases DIR` names another folder",
                dir.display()
            ))
        })?;
        let mut dirs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        dirs.retain(|dir| dir.join(EVENT).is_file() || dir.join(WINDOW).is_file());
        dirs.sort();
        if dirs.is_empty() {
            return Err(unusable(format!(
                "there are no cases in `{}`; a case is a folder in it with an `{EVENT}`, or a `{WINDOW}` for a \
                 plugin that makes batches",
                dir.display()
            )));
        }
        dirs.into_iter().map(Self::read).collect()
    }

    fn read(dir: PathBuf) -> anyhow::Result<Self> {
        let subject = match read_if_there(&dir.join(WINDOW), |text| serde_json::from_str::<RawWindow>(text))?
        {
            Some(raw) => Subject::Window(raw.window(&dir).map_err(|why| unread(&dir.join(WINDOW), &why))?),
            None => Subject::Event(view(&dir.join(EVENT))?),
        };
        let config = read_if_there(&dir.join(CONFIG), |text| serde_json::from_str(text))?;
        let expected = read_if_there(&dir.join(EXPECTED), Json::parse)?;
        Ok(Self { dir, subject, config, expected })
    }

    /// The folder's name.
    pub(super) fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Makes this what is expected.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn expect(&self, made: &Json) -> anyhow::Result<()> {
        let path = self.dir.join(EXPECTED);
        fs::write(&path, format!("{made}\n")).with_context(|| format!("failed to write `{}`", path.display()))
    }
}

/// Reads an event from a file as the `event.json` of a case.
///
/// # Errors
/// If it cannot be read, or is not an event.
pub(super) fn view(path: &Path) -> anyhow::Result<View> {
    let text = fs::read_to_string(path).map_err(|error| unread(path, &error))?;
    let raw: RawEvent = serde_json::from_str(&text).map_err(|error| unread(path, &error))?;
    let attempt = raw.attempt;
    let event = raw.event(path.parent().unwrap_or(Path::new("."))).map_err(|why| unread(path, &why))?;
    Ok(View::of(Arc::new(event), attempt))
}

/// About a kilobyte of what providers send, for those who have no event of their own.
///
/// # Errors
/// None, unless this program is broken.
pub(super) fn made_up() -> anyhow::Result<View> {
    let raw: RawEvent = serde_json::from_str(include_str!("../../../templates/plugin/bench-event.json"))?;
    let event = raw.event(Path::new(".")).map_err(unusable)?;
    Ok(View::of(Arc::new(event), 1))
}

fn read_if_there<T>(
    path: &Path,
    read: impl FnOnce(&str) -> serde_json::Result<T>,
) -> anyhow::Result<Option<T>> {
    match fs::read_to_string(path) {
        Ok(text) => read(&text).map(Some).map_err(|error| unread(path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unread(path, &error)),
    }
}

fn unread(path: &Path, why: &dyn std::fmt::Display) -> anyhow::Error {
    unusable(format!("failed to read `{}`: {why}", path.display()))
}

/// `event.json`, key for key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEvent {
    id: String,
    route: String,
    method: String,
    path: String,
    query: Option<String>,
    params: Map<String, Value>,
    headers: Map<String, Value>,
    event_type: Option<String>,
    received_at: String,
    attempt: u32,
    body: Option<String>,
    body_json: Option<Box<RawValue>>,
    body_file: Option<PathBuf>,
}

/// As the SDK's `Event::builder()`.
impl Default for RawEvent {
    fn default() -> Self {
        Self {
            id: "019b76da-a800-7000-8000-000000000000".to_owned(),
            route: "test".to_owned(),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: None,
            params: Map::new(),
            headers: Map::new(),
            event_type: None,
            received_at: "2026-01-01T00:00:00Z".to_owned(),
            attempt: 1,
            body: None,
            body_json: None,
            body_file: None,
        }
    }
}

impl RawEvent {
    /// Files that it names lie in `dir`.
    fn event(self, dir: &Path) -> Result<Event, String> {
        if self.attempt == 0 {
            return Err("`attempt` is 0; the first one is 1".to_owned());
        }
        Ok(Event {
            id: self.id.parse::<EventId>().map_err(|_| format!("`id` is `{}`, not a UUID", self.id))?,
            route: self.route.into(),
            received_at: moment(&self.received_at)?,
            method: Method::from_bytes(self.method.as_bytes())
                .map_err(|_| format!("`method` is `{}`, not one of HTTP's", self.method))?,
            path: self.path,
            query: self.query,
            params: params(self.params)?,
            headers: headers(self.headers)?,
            body: body(self.body, self.body_json, self.body_file.map(|file| dir.join(file)))?,
            event_type: self.event_type,
            delivery_id: None,
            passed: None,
            proof: Proof::of_a_case(),
        })
    }
}

fn moment(received_at: &str) -> Result<Timestamp, String> {
    let moment = humantime::parse_rfc3339(received_at);
    moment
        .map(Timestamp::from)
        .map_err(|_| format!("`received_at` is `{received_at}`, not a time like 2026-01-01T00:00:00Z"))
}

fn params(raw: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let text = |(name, value)| match value {
        Value::String(value) => Ok((name, value)),
        other => Err(format!("param `{name}` is {other}, not a text")),
    };
    raw.into_iter().map(text).collect()
}

fn headers(raw: Map<String, Value>) -> Result<Headers, String> {
    let mut headers = Headers::default();
    for (name, value) in raw {
        let values = match value {
            Value::Array(values) => values,
            single => vec![single],
        };
        let field = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("`{name}` is not the name of a header"))?;
        for value in values {
            let Value::String(text) = &value else {
                return Err(format!(
                    "header `{name}` has the value {value}; it must be a text or a list of texts"
                ));
            };
            let value = HeaderValue::from_str(text)
                .map_err(|_| format!("header `{name}` has a value that HTTP does not allow"))?;
            headers.append(field.clone(), value);
        }
    }
    Ok(headers)
}

/// JSON is taken as it is written, blanks and all: those are the bytes that a provider would have sent.
fn body(text: Option<String>, json: Option<Box<RawValue>>, file: Option<PathBuf>) -> Result<Bytes, String> {
    match (text, json, file) {
        (None, None, None) => Ok(Bytes::new()),
        (Some(text), None, None) => Ok(text.into()),
        (None, Some(json), None) => Ok(json.get().to_owned().into()),
        (None, None, Some(file)) => fs::read(&file)
            .map(Bytes::from)
            .map_err(|error| format!("`body_file` `{}`: {error}", file.display())),
        _ => Err("it has more than one of `body`, `body_json` and `body_file`; keep one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &str) -> anyhow::Result<View> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("body.bin"), b"\xff").unwrap();
        fs::write(dir.path().join(EVENT), event).unwrap();
        view(&dir.path().join(EVENT))
    }

    #[track_caller]
    fn refused(event: &str, because: &str) {
        let error = read(event).unwrap_err();
        assert!(error.is::<super::super::Unusable>());
        assert!(error.to_string().contains(because), "{error}");
    }

    #[test]
    fn every_key_is_read() {
        let view = read(
            r#"{ "id": "018f3c2e-7a10-7000-8000-000000000000", "route": "github", "method": "PUT", "path": "/a/7",
                "query": "x=1", "params": { "n": "7" }, "headers": { "X-A": "1", "x-b": ["2", "3"] },
                "event_type": "push", "received_at": "2026-03-01T12:00:00Z", "attempt": 2, "body": "text" }"#,
        )
        .unwrap();
        let event = view.event();
        assert_eq!(event.id.to_string(), "018f3c2e-7a10-7000-8000-000000000000");
        assert_eq!((&*event.route, event.method.as_str(), &*event.path), ("github", "PUT", "/a/7"));
        assert_eq!((event.query.as_deref(), event.event_type.as_deref()), (Some("x=1"), Some("push")));
        assert_eq!(event.params, [("n".to_owned(), "7".to_owned())]);
        assert_eq!(event.headers.get("x-a").unwrap(), "1");
        assert_eq!(event.headers.get_all("x-b").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((event.received_at.as_millis(), view.attempt()), (1_772_366_400_000, 2));
        assert_eq!(&event.body[..], b"text");
    }

    #[test]
    fn json_is_the_body_as_it_is_written() {
        let body = |event| read(event).unwrap().event().body.clone();
        assert_eq!(&body(r#"{ "body_json": { "n":  1.50 } }"#)[..], br#"{ "n":  1.50 }"#);
        assert_eq!(&body(r#"{ "body_file": "body.bin" }"#)[..], b"\xff");
        assert_eq!(&body("{}")[..], b"");
    }

    #[test]
    fn mistakes_are_named() {
        refused("{", "event.json`: EOF while parsing");
        refused(r#"{ "boddy": 1 }"#, "unknown field `boddy`");
        refused(r#"{ "body": "", "body_json": 1 }"#, "more than one of");
        refused(r#"{ "body_file": "none" }"#, "none`: No such file");
        refused(r#"{ "id": "7" }"#, "`id` is `7`, not a UUID");
        refused(r#"{ "attempt": 0 }"#, "the first one is 1");
        refused(r#"{ "received_at": "noon" }"#, "not a time like");
        refused(r#"{ "headers": { "a b": "1" } }"#, "`a b` is not the name");
        refused(r#"{ "headers": { "a": 1 } }"#, "has the value 1");
        refused(r#"{ "params": { "a": 1 } }"#, "param `a` is 1");
    }

    #[test]
    fn a_folder_without_cases_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |dir: &Path| Case::all(dir).unwrap_err().to_string();
        assert!(refused(dir.path()).contains("there are no cases in"));
        assert!(refused(&dir.path().join("none")).contains("`--cases DIR` names another"));
    }
}

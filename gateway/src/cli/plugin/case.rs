//! A case of a test: what a plugin is called with, its config, and what is expected of them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};

use self::{
    asked::{Asked, RawAsked},
    window::RawWindow,
};
use super::{json::Json, limits::Limits, unusable};
use crate::{
    clock::Timestamp,
    event::Headers,
    plugin::{Given, Kind, Window},
};

mod asked;

mod window;

/// A folder with what a plugin is called with, and beside it `config.json`, `limits.json` and `expected.json` where there
/// are any.
#[derive(Debug)]
pub(super) struct Case {
    dir: PathBuf,
    pub(super) subject: Subject,
    /// `None`: that of the whole run.
    pub(super) config: Option<Value>,
    pub(super) limits: Option<Limits>,
    pub(super) expected: Option<Json>,
}

/// What a plugin is called with.
pub(super) enum Subject {
    /// A request, or the event that it becomes.
    Asked(Box<Asked>),
    /// For a `batch` plugin.
    Window(Window),
}

impl Subject {
    /// What a plugin of this kind is called with.
    ///
    /// # Errors
    /// With what such a plugin's cases have, where this is not it.
    pub(super) fn given(&self, kind: Kind) -> Result<Given, String> {
        match (self, kind) {
            (Self::Asked(asked), Kind::Verify) => Ok(Given::Request(asked.claimed())),
            (Self::Asked(asked), Kind::Filter | Kind::Transform) => Ok(Given::Event(asked.view())),
            (Self::Window(window), Kind::Batch) => Ok(Given::Window(window.clone())),
            (Self::Asked(_), Kind::Batch) => Err(format!("a batch plugin's case has a `{WINDOW}`")),
            (Self::Window(_), kind) => Err(format!(
                "a `{}` plugin's case has an `{EVENT}`, a `{REQUEST}` or a `{CAPTURE}`",
                kind.name()
            )),
        }
    }
}

/// A request may hold secrets.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked(_) => "Asked",
            Self::Window(_) => "Window",
        })
    }
}

pub(super) const EVENT: &str = "event.json";
const REQUEST: &str = "request.json";
/// A request as it came over the wire, as `sluice verify explain` reads it.
const CAPTURE: &str = "request.http";
pub(super) const WINDOW: &str = "window.json";
pub(super) const CONFIG: &str = "config.json";
const LIMITS: &str = "limits.json";
pub(super) const EXPECTED: &str = "expected.json";

impl Case {
    /// Reads every folder in `dir` that has something to call a plugin with, in the order of their names.
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
        let has = |dir: &Path, file: &str| dir.join(file).is_file();
        dirs.retain(|dir| [EVENT, REQUEST, CAPTURE, WINDOW].iter().any(|file| has(dir, file)));
        dirs.sort();
        if dirs.is_empty() {
            return Err(unusable(format!(
                "there are no cases in `{}`; a case is a folder in it with an `{EVENT}`, or with a `{REQUEST}` for a \
                 plugin that verifies, or a `{WINDOW}` for one that makes batches",
                dir.display()
            )));
        }
        dirs.into_iter().map(Self::read).collect()
    }

    fn read(dir: PathBuf) -> anyhow::Result<Self> {
        let subject = subject(&dir)?;
        let config = read_if_there(&dir.join(CONFIG), |text| serde_json::from_str(text))?;
        let limits = read_if_there(&dir.join(LIMITS), Limits::file)?;
        let expected = read_if_there(&dir.join(EXPECTED), Json::parse)?;
        Ok(Self { dir, subject, config, limits, expected })
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

/// What a case's folder has; more than one such file is refused, but that a capture may have its rest beside it.
fn subject(dir: &Path) -> anyhow::Result<Subject> {
    let there: Vec<_> =
        [EVENT, REQUEST, WINDOW].into_iter().filter(|file| dir.join(file).is_file()).collect();
    let is_captured = dir.join(CAPTURE).is_file();
    match (&there[..], is_captured) {
        ([file], false) => self::file(&dir.join(file)),
        ([], true) => captured(dir, RawAsked::default(), CAPTURE),
        ([file @ (EVENT | REQUEST)], true) => captured(dir, read(&dir.join(file))?, file),
        _ => Err(unusable(format!(
            "case `{}` has {} beside each other; keep one",
            dir.display(),
            there.join(", ") + if is_captured { " and a `request.http`" } else { "" }
        ))),
    }
}

/// Reads what a plugin is called with from one file, which is what its name says: a `.http` file is a capture, a
/// `window.json` a window, anything else as an `event.json`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn file(path: &Path) -> anyhow::Result<Subject> {
    let dir = path.parent().unwrap_or(Path::new("."));
    if path.extension().is_some_and(|extension| extension == "http") {
        let bytes = fs::read(path).map_err(|error| unread(path, &error))?;
        return RawAsked::default().captured(&bytes).map(asked_of).map_err(|why| unread(path, &why));
    }
    if path.file_name().is_some_and(|name| name.to_string_lossy().contains("window")) {
        let raw: RawWindow = read(path)?;
        return raw.window(dir).map(Subject::Window).map_err(|why| unread(path, &why));
    }
    let raw: RawAsked = read(path)?;
    raw.asked(dir).map(asked_of).map_err(|why| unread(path, &why))
}

/// A capture, with the rest of what is to be known of it from `named`.
fn captured(dir: &Path, rest: RawAsked, named: &str) -> anyhow::Result<Subject> {
    let path = dir.join(CAPTURE);
    let bytes = fs::read(&path).map_err(|error| unread(&path, &error))?;
    rest.captured(&bytes).map(asked_of).map_err(|why| unread(&dir.join(named), &why))
}

fn asked_of(asked: Asked) -> Subject {
    Subject::Asked(Box::new(asked))
}

/// About a kilobyte of what providers send, or a few such messages, for those who have nothing of their own.
///
/// # Errors
/// None, unless this program is broken.
pub(super) fn made_up(kind: Kind) -> anyhow::Result<Subject> {
    const BODY: &str = include_str!("../../../templates/plugin/bench-event.json");
    let raw: RawAsked = serde_json::from_str(BODY)?;
    let asked = raw.asked(Path::new(".")).map_err(unusable)?;
    Ok(match kind {
        Kind::Batch => Subject::Window(asked.window(ITEMS)),
        _ => asked_of(asked),
    })
}

/// Items of the made-up window.
const ITEMS: usize = 20;

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).map_err(|error| unread(path, &error))?;
    serde_json::from_str(&text).map_err(|error| unread(path, &error))
}

fn read_if_there<T, E: fmt::Display>(
    path: &Path,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> anyhow::Result<Option<T>> {
    match fs::read_to_string(path) {
        Ok(text) => read(&text).map(Some).map_err(|error| unread(path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unread(path, &error)),
    }
}

fn unread(path: &Path, why: &dyn fmt::Display) -> anyhow::Error {
    unusable(format!("failed to read `{}`: {why}", path.display()))
}

fn moment(received_at: &str) -> Result<Timestamp, String> {
    let moment = humantime::parse_rfc3339(received_at);
    moment
        .map(Timestamp::from)
        .map_err(|_| format!("`received_at` is `{received_at}`, not a time like 2026-01-01T00:00:00Z"))
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
    use crate::plugin::View;

    fn case(files: &[(&str, &str)]) -> anyhow::Result<Case> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("body.bin"), b"\xff").unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Case::read(dir.path().to_owned())
    }

    fn view(files: &[(&str, &str)]) -> anyhow::Result<View> {
        match case(files)?.subject.given(Kind::Filter).map_err(unusable)? {
            Given::Event(view) => Ok(view),
            Given::Request(_) | Given::Window(_) => panic!("no event"),
        }
    }

    fn read(event: &str) -> anyhow::Result<View> {
        view(&[(EVENT, event)])
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], because: &str) {
        let error = case(files).unwrap_err();
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

    const RAW: &str = "POST /in?a=1 HTTP/1.1\r\nhost: h.test\r\nx-a: 1\r\ncookie: c\r\n\r\nhello";

    #[test]
    fn a_capture_is_an_event_as_the_gateway_would_make_it() {
        let view = view(&[(CAPTURE, RAW), (EVENT, r#"{ "event_type": "push", "attempt": 3 }"#)]).unwrap();
        let event = view.event();
        assert_eq!((&*event.path, event.query.as_deref()), ("/in", Some("a=1")));
        assert_eq!((&event.body[..], event.event_type.as_deref()), (&b"hello"[..], Some("push")));
        assert_eq!((event.headers.get("x-a").unwrap().as_bytes(), view.attempt()), (&b"1"[..], 3));
        assert!(event.headers.get("cookie").is_none());
    }

    #[test]
    fn a_verifier_is_given_the_request_as_it_came() {
        let rest =
            r#"{ "received_at": "2026-03-01T12:00:00Z", "secrets": ["s"], "url": "https://h.test/in" }"#;
        let case = case(&[(CAPTURE, RAW), (REQUEST, rest)]).unwrap();
        let Ok(Given::Request(claimed)) = case.subject.given(Kind::Verify) else { panic!("no request") };
        let request = claimed.request();
        assert_eq!(request.headers["cookie"], "c");
        assert_eq!(request.received_at.as_millis(), 1_772_366_400_000);
        assert!(case.subject.given(Kind::Batch).err().unwrap().contains("`window.json`"));
    }

    #[test]
    fn mistakes_are_named() {
        let event = |text, because| refused(&[(EVENT, text)], because);
        event("{", "event.json`: EOF while parsing");
        event(r#"{ "boddy": 1 }"#, "unknown field `boddy`");
        event(r#"{ "body": "", "body_json": 1 }"#, "more than one of");
        event(r#"{ "body_file": "none" }"#, "none`: No such file");
        event(r#"{ "id": "7" }"#, "`id` is `7`, not a UUID");
        event(r#"{ "attempt": 0 }"#, "the first one is 1");
        event(r#"{ "received_at": "noon" }"#, "not a time like");
        event(r#"{ "headers": { "a b": "1" } }"#, "`a b` is not the name");
        event(r#"{ "headers": { "a": 1 } }"#, "has the value 1");
        event(r#"{ "params": { "a": 1 } }"#, "param `a` is 1");
        refused(&[(EVENT, "{}"), (WINDOW, "{}")], "beside each other");
        refused(&[(CAPTURE, "POST")], "no end of its head");
        refused(&[(CAPTURE, RAW), (REQUEST, r#"{ "body": "" }"#)], "`request.http` has method, path");
        refused(&[(EVENT, "{}"), (LIMITS, r#"{ "tim": "1s" }"#)], "`tim` is no limit");
    }

    #[test]
    fn there_is_something_made_up_for_every_kind() {
        for kind in [Kind::Verify, Kind::Filter, Kind::Transform, Kind::Batch] {
            assert!(made_up(kind).unwrap().given(kind).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn a_folder_without_cases_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |dir: &Path| Case::all(dir).unwrap_err().to_string();
        assert!(refused(dir.path()).contains("there are no cases in"));
        assert!(refused(&dir.path().join("none")).contains("`--cases DIR` names another"));
    }
}

//! Requests whose outcome is known: `tests/fixtures/providers`.

use std::{collections::BTreeMap, io::Read, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde::Deserialize;
use toml::{Table, Value};

/// One of them, as it is written.
#[derive(Deserialize)]
pub(super) struct Vector {
    pub(super) id: String,
    pub(super) scheme: String,
    pub(super) valid: bool,
    /// Why it must be refused.
    pub(super) reason: Option<String>,
    /// The clock that it is judged by, in seconds; without one, no time is judged.
    pub(super) now: Option<u64>,
    secret: Option<String>,
    secrets: Option<Vec<String>>,
    public_key: Option<String>,
    public_key_pem: Option<String>,
    jwks: Option<serde_json::Value>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    method: String,
    url: String,
    headers: BTreeMap<String, Values>,
    body: Option<String>,
    body_base64: Option<String>,
    body_repeat: Option<(String, usize)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// The sender's side of a URL, cut as it is written: a parser would normalise what is signed.
struct Target<'u> {
    /// `https://user:password@host:port`
    origin: &'u str,
    host: &'u str,
    path: &'u str,
    /// With the path.
    query: &'u str,
}

impl Vector {
    pub(super) fn all() -> Vec<Self> {
        let packed = include_bytes!("../../../../tests/fixtures/providers/vectors.json.gz");
        let mut text = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A config whose one route has what this vector needs.
    pub(super) fn config(&self) -> String {
        let target = self.target();
        let verify = self.verify(&target);
        let route = Table::from_iter([
            ("name".to_owned(), "in".into()),
            ("path".to_owned(), target.path.into()),
            ("methods".to_owned(), vec![self.method.as_str()].into()),
            ("verify".to_owned(), verify.into()),
            ("dedupe".to_owned(), false.into()),
            ("deliver".to_owned(), vec!["out"].into()),
        ]);
        let out = Table::from_iter([("url".to_owned(), "http://127.0.0.1:1/".into())]);
        let config = Table::from_iter([
            ("destinations".to_owned(), Table::from_iter([("out".to_owned(), Value::from(out))]).into()),
            ("routes".to_owned(), vec![Value::from(route)].into()),
        ]);
        config.to_string()
    }

    fn verify(&self, target: &Target<'_>) -> Table {
        let mut verify = Table::from_iter([("preset".to_owned(), self.scheme.as_str().into())]);
        let several = self.secrets.iter().flatten();
        let secrets: Vec<_> = self.secret.iter().chain(several).cloned().collect();
        let public_keys: Vec<_> = self.public_key.iter().chain(&self.public_key_pem).cloned().collect();
        for (key, values) in [("secrets", secrets), ("public_keys", public_keys)] {
            if !values.is_empty() {
                verify.insert(key.to_owned(), values.into());
            }
        }
        if let Some(jwks) = &self.jwks {
            verify.insert("jwks".to_owned(), jwks.to_string().into());
        }
        let vars = self.vars();
        if !vars.is_empty() {
            verify.insert("vars".to_owned(), Table::from_iter(vars).into());
        }
        if crate::verify::scheme::preset(&self.scheme).unwrap().scheme.signs_url() {
            verify.insert("url".to_owned(), target.origin.into());
        }
        verify
    }

    /// The vectors leave out which topics are welcome: the one that the message is of.
    fn vars(&self) -> BTreeMap<String, Value> {
        let mut vars: BTreeMap<_, _> =
            self.vars.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        if self.scheme == "aws-sns" {
            let message: serde_json::Value = serde_json::from_slice(&self.body()).unwrap();
            vars.insert("topics".to_owned(), message["TopicArn"].as_str().unwrap().into());
        }
        vars
    }

    /// The request, byte by byte: some of them no client would send.
    pub(super) fn request(&self) -> Vec<u8> {
        let (target, body) = (self.target(), self.body());
        let Self { method, .. } = self;
        let mut head = format!("{method} {}{} HTTP/1.1\r\n", target.path, target.query);
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            };
            // Some give the length of a body that has been changed since.
            for value in values.iter().filter(|_| !name.eq_ignore_ascii_case("content-length")) {
                head += &format!("{name}: {value}\r\n");
            }
        }
        if !self.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {}\r\n", target.host);
        }
        head += &format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body].concat()
    }

    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64, &self.body_repeat) {
            (_, Some(base64), _) => STANDARD.decode(base64).unwrap(),
            (_, _, Some((text, times))) => text.repeat(*times).into(),
            (body, _, _) => body.clone().unwrap_or_default().into(),
        }
    }

    fn target(&self) -> Target<'_> {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (authority, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        let origin = &self.url[..scheme.len() + "://".len() + authority.len()];
        let after = &self.url[origin.len()..];
        let (path, query) = after.split_at(after.find('?').unwrap_or(after.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        Target { origin, host, path: if path.is_empty() { "/" } else { path }, query }
    }
}

/// Where relative paths of the config begin: it has none.
pub(super) fn nowhere() -> &'static Path {
    Path::new("sluice.toml")
}

//! A plugin that does what the event's body says, with `kv` and `http`, and delivers what came of each: for the
//! gateway's tests.

use std::time::Duration;

use serde::Deserialize;
use sluice_plugin::{Body, Error, Event, Message, Outcome, Transform, http::Request, kv};

struct Errands;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
enum Errand {
    Get { key: String },
    Set { key: String, value: String, ttl_ms: Option<u64> },
    Delete { key: String },
    Add { key: String, by: i64 },
    Send { url: String },
}

impl Transform for Errands {
    type Config = ();

    fn configure((): ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn transform(&self, _: &Event, body: Body) -> Result<Outcome, Error> {
        let errands: Vec<Errand> = serde_json::from_slice(&body)?;
        let done: Vec<String> = errands.into_iter().map(Errand::run).collect();
        Ok(Message::new(serde_json::to_vec(&done)?).into())
    }
}

impl Errand {
    /// What came of it, in words.
    fn run(self) -> String {
        match self {
            Self::Get { key } => told(kv::get(&key).map(|value| match value {
                Some(value) => String::from_utf8_lossy(&value).into_owned(),
                None => "nothing".to_owned(),
            })),
            Self::Set { key, value, ttl_ms } => {
                told(kv::set(&key, value, ttl_ms.map(Duration::from_millis)).map(|()| "set"))
            }
            Self::Delete { key } => told(kv::delete(&key)),
            Self::Add { key, by } => told(kv::add(&key, by, None)),
            Self::Send { url } => {
                told(Request::get(url).send().map(|response| {
                    format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
                }))
            }
        }
    }
}

fn told<T: ToString, E: ToString>(result: Result<T, E>) -> String {
    result.map_or_else(|error| error.to_string(), |done| done.to_string())
}

sluice_plugin::transform!(Errands);

//! Proves requests by an HMAC over chosen fields of their JSON, as several payment providers sign: the fields sorted by
//! name, the time of signing behind them. Answers the provider's challenge.
//!
//! It teaches what a verifier is: it sees the request exactly as sent, asks the gateway about secrets that it never
//! sees, and accepts, rejects or answers.

use serde::Deserialize;
use serde_json::{Map, Value};
use sluice_plugin::{
    Error, Judgement, Proven, Reply, Request, Verify,
    secrets::{self, Algorithm, KeyEncoding},
};

/// The longest challenge that is signed: it comes from nobody knows whom.
const MAX_CHALLENGE: usize = 128;

struct FieldHmac {
    /// Sorted.
    fields: Vec<String>,
    signature: String,
    timestamp: String,
    tolerance_ms: u64,
    id: Option<String>,
    event_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    fields: Vec<String>,
    #[serde(default = "signature")]
    signature: String,
    #[serde(default = "timestamp")]
    timestamp: String,
    #[serde(default = "tolerance")]
    tolerance: u64,
    id: Option<String>,
    r#type: Option<String>,
}

fn signature() -> String {
    "x-signature".to_owned()
}

fn timestamp() -> String {
    "x-timestamp".to_owned()
}

fn tolerance() -> u64 {
    300
}

impl Verify for FieldHmac {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { mut fields, signature, timestamp, tolerance, id, r#type } = config;
        fields.sort();
        fields.dedup();
        if fields.is_empty() {
            return Err(Error::config("`fields`: is empty, so nothing would be proven"));
        }
        // What is not signed may be anything: a duplicate must not be told by it.
        if let Some(id) = id.as_ref().filter(|id| !fields.contains(id)) {
            return Err(Error::config(format!("`id`: `{id}` is not one of `fields`, so it is not proven")));
        }
        let tolerance_ms = tolerance.saturating_mul(1000);
        Ok(Self { fields, signature, timestamp, tolerance_ms, id, event_type: r#type })
    }

    fn verify(&self, request: &Request) -> Result<Judgement, Error> {
        let body: Map<String, Value> = request.json()?;
        match body.get("challenge") {
            Some(challenge) if body.len() == 1 => Ok(answer(challenge)),
            _ => Ok(self.judge(request, &body).map_or_else(Judgement::reject, Judgement::from)),
        }
    }
}

impl FieldHmac {
    /// Checks the signature before the time: who knows no secret learns nothing of our clock.
    fn judge(&self, request: &Request, body: &Map<String, Value>) -> Result<Proven, String> {
        let only =
            |name: &str| request.only_header(name).ok_or_else(|| format!("`{name}` is not there once"));
        let (signature, timestamp) = (only(&self.signature)?, only(&self.timestamp)?);
        let tag = hex(&signature).ok_or_else(|| format!("`{}` is not hex", self.signature))?;
        let signed = self.signed(body, &timestamp)?;
        if !secrets::hmac_matches(Algorithm::Sha256, KeyEncoding::Text, signed.as_bytes(), &tag) {
            return Err("the signature is by none of the secrets".to_owned());
        }
        let seconds: u64 = timestamp.parse().map_err(|_| "the time is not in seconds".to_owned())?;
        let off = request.received_ms().abs_diff(seconds.saturating_mul(1000));
        if off > self.tolerance_ms {
            return Err(format!(
                "the time is {} s off, tolerance is {} s",
                off / 1000,
                self.tolerance_ms / 1000
            ));
        }
        Ok(self.proven(body))
    }

    /// `name=value` of each field and of the time, a line each. A line break in a value could be another field's.
    fn signed(&self, body: &Map<String, Value>, timestamp: &str) -> Result<String, String> {
        let mut signed = String::new();
        for name in &self.fields {
            let value =
                body.get(name).and_then(text).ok_or_else(|| format!("`{name}` is no text or number"))?;
            if value.contains('\n') {
                return Err(format!("`{name}` has a line break"));
            }
            signed += &format!("{name}={value}\n");
        }
        Ok(signed + "timestamp=" + timestamp)
    }

    fn proven(&self, body: &Map<String, Value>) -> Proven {
        let field = |name: &Option<String>| name.as_ref().and_then(|name| body.get(name)).and_then(text);
        let proven = Proven::default();
        let proven = field(&self.id).into_iter().fold(proven, Proven::delivery_id);
        field(&self.event_type).into_iter().fold(proven, Proven::event_type)
    }
}

/// Answers `{"challenge":"…"}` with its HMAC. Only letters and digits are signed, in a form that no event's text has: so
/// strangers get nothing signed that could pass for an event.
fn answer(challenge: &Value) -> Judgement {
    let plain = |text: &&str| text.len() <= MAX_CHALLENGE && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let Some(challenge) = challenge.as_str().filter(plain) else {
        return Judgement::reject("the challenge is not up to 128 letters and digits");
    };
    let signed = format!("challenge:{challenge}");
    match secrets::hmac(Algorithm::Sha256, KeyEncoding::Text, signed.as_bytes()) {
        Some(tag) => Reply::text(tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).into(),
        None => Judgement::reject("there is no secret to answer the challenge with"),
    }
}

/// A value as it is signed. Numbers are taken as JSON has them, so providers that sign `1.0` send it as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|digit| char::from(digit).to_digit(16));
    let digits: Option<Vec<_>> = digits.collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

sluice_plugin::verify!(FieldHmac);

#[cfg(test)]
mod tests;

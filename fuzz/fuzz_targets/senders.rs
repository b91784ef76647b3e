//! Routes with keys that requests were really signed with, and those requests as seeds: the vectors of
//! `tests/fixtures/providers`.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    io::Read,
    path::Path,
    sync::Arc,
};

use flate2::read::GzDecoder;
use futures_util::FutureExt;
use serde_json::Value;
use sluice::{
    clock::Timestamp,
    config::{Config, Secret, Verify},
    event::EventId,
    verify::{
        Judged, Settings, Unverified, Verifier,
        scheme::{Needs, preset, presets},
    },
};

/// Where a target puts its seeds before it starts; without it there are none.
const CORPUS: &str = "SLUICE_FUZZ_CORPUS";

/// A secret that fits every preset which takes any text.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One route's proof of origin.
pub struct Sender {
    pub preset: String,
    pub verifier: Verifier,
    /// What was really sent to it.
    pub requests: Vec<Unverified>,
}

/// Every preset with every set of keys that there are vectors for, and with a secret of our own where there are none.
/// None of them has to ask anybody for keys.
pub fn senders() -> Vec<Sender> {
    let mut by_config: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for vector in vectors() {
        by_config.entry(config(&vector)).or_default().push(vector);
    }
    let mut senders: Vec<_> =
        by_config.iter().filter_map(|(config, all)| Sender::proven(config, all)).collect();
    for preset in presets() {
        if !senders.iter().any(|sender| sender.preset == preset.name) {
            senders.extend(Sender::unproven(&preset.name));
        }
    }
    senders
}

impl Sender {
    fn proven(config: &str, vectors: &[Value]) -> Option<Self> {
        let (config, _) = Config::parse(config, Path::new("sluice.toml"), &HashMap::new()).ok()?;
        Some(Self {
            preset: preset(vectors[0]["scheme"].as_str()?)?.name.clone(),
            verifier: Verifier::new(&config.routes.first()?.verify, &Arc::default()),
            requests: vectors.iter().filter_map(request).collect(),
        })
    }

    fn unproven(name: &str) -> Option<Self> {
        let scheme = &preset(name)?.scheme;
        let takes_secrets = matches!(scheme.needs(), Needs::Secrets | Needs::LearnedSecrets);
        let fits = takes_secrets && scheme.check_secret(SECRET.as_bytes()).is_ok();
        let settings = Settings::new(scheme.clone(), vec![Secret::new(SECRET.as_bytes(), "fuzz")]);
        let verify = Verify::Proof(Box::new(settings));
        let verifier = Verifier::new(&verify, &Arc::default());
        fits.then(|| Self { preset: name.to_owned(), verifier, requests: Vec::new() })
    }

    /// Whether it takes the request for genuine; nothing there is to be waited for.
    pub fn accepts(&self, request: Unverified, now: Option<Timestamp>) -> bool {
        let outcome = self.verifier.verify_before(request, now, &mut ()).now_or_never();
        let genuine = outcome.expect("every key is at hand").ok().and_then(Judged::genuine);
        // What becomes of a genuine one is read from what the sender wrote, too.
        let body = genuine.as_ref().map(|genuine| genuine.body().clone()).unwrap_or_default();
        genuine.map(|genuine| genuine.into_event(body)).is_some()
    }
}

fn vectors() -> Vec<Value> {
    let packed = include_bytes!("../../tests/fixtures/providers/vectors.json.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("the vectors are text");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

/// A config for one vector's keys. JSON's strings and lists are TOML's too.
fn config(vector: &Value) -> String {
    let secrets: Vec<_> = vector["secret"].as_str().into_iter().chain(texts(&vector["secrets"])).collect();
    let keys: Vec<_> =
        [&vector["public_key"], &vector["public_key_pem"]].into_iter().flat_map(Value::as_str).collect();
    let mut verify = format!("preset = {}\n", vector["scheme"]);
    if !secrets.is_empty() {
        verify += &format!("secrets = {}\n", Value::from(secrets));
    }
    if !keys.is_empty() {
        verify += &format!("public_keys = {}\n", Value::from(keys));
    }
    if vector["jwks"].is_object() {
        verify += &format!("jwks = {}\n", Value::from(vector["jwks"].to_string()));
    }
    let name = vector["scheme"].as_str().unwrap_or_default();
    if preset(name).is_some_and(|preset| preset.scheme.signs_url()) {
        verify += &format!("url = {}\n", Value::from(origin(vector)));
    }
    let topics = (name == "aws-sns").then(|| ("topics".to_owned(), Value::from("*")));
    let vars = vector["vars"].as_object().cloned().unwrap_or_default().into_iter().chain(topics);
    for (name, value) in vars {
        verify += &format!("vars.{name} = {value}\n");
    }
    format!(
        "[destinations.out]\nurl = \"http://127.0.0.1:1/\"\n[[routes]]\nname = \"in\"\npath = \"/in\"\n\
         deliver = [\"out\"]\n[routes.verify]\n{verify}"
    )
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn origin(vector: &Value) -> &str {
    let url = vector["url"].as_str().unwrap_or_default();
    url.match_indices('/').nth(2).map_or(url, |(at, _)| &url[..at])
}

/// The request of a vector, if hyper would let it through.
fn request(vector: &Value) -> Option<Unverified> {
    let mut text =
        format!("{} {}\n", vector["method"].as_str()?, vector["url"].as_str()?.strip_prefix(origin(vector))?);
    for (name, values) in vector["headers"].as_object()? {
        for value in values.as_str().into_iter().chain(texts(values)) {
            text += &format!("{name}: {}\n", value.trim_matches([' ', '\t']));
        }
    }
    let body = vector["body"].as_str().unwrap_or_default();
    read(format!("{text}\n{body}").as_bytes())
}

/// Reads a request that is written like HTTP/1.1, with bare line ends, so that a fuzzer finds its way.
pub fn read(bytes: &[u8]) -> Option<Unverified> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (&bytes[..end], &bytes[end + 2..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let uri: http::Uri = target.parse().ok()?;
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        let name = http::HeaderName::from_bytes(name).ok()?;
        headers.append(name, http::HeaderValue::from_bytes(value[1..].trim_ascii()).ok()?);
    }
    Some(Unverified {
        id: EventId::from_bytes([0; 16]),
        route: "in".into(),
        received_at: Timestamp::default(),
        method: method.parse().ok()?,
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        params: Vec::new(),
        headers,
        body: body.to_vec().into(),
    })
}

/// A request as [`read`] reads it.
pub fn write(request: &Unverified) -> Vec<u8> {
    let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut text = format!("{} {}{query}\n", request.method, request.path).into_bytes();
    for (name, value) in &request.headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
    [&text[..], b"\n", &request.body].concat()
}

/// Writes seeds where the target will look for them.
///
/// # Panics
/// If they cannot be written.
pub fn plant(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(corpus) = env::var_os(CORPUS) else { return };
    fs::create_dir_all(&corpus).expect("the corpus' directory can be made");
    for (number, seed) in seeds.into_iter().enumerate() {
        fs::write(Path::new(&corpus).join(format!("seed-{number}")), seed).expect("a seed can be written");
    }
}

/// An index as a target's input begins with it.
pub fn tag(index: usize) -> [u8; 2] {
    u16::try_from(index).unwrap_or(u16::MAX).to_be_bytes()
}

/// The item that the input begins with, and the rest of the input.
pub fn choose<'s, 'd, T>(items: &'s [T], data: &'d [u8]) -> Option<(&'s T, &'d [u8])> {
    let (tag, rest) = data.split_first_chunk::<2>()?;
    Some((&items[usize::from(u16::from_be_bytes(*tag)) % items.len()], rest))
}

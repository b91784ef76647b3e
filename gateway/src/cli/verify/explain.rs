//! `sluice verify explain`: checks one captured request, aloud.

use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use super::{
    capture::{CaptureError, capture},
    given::Given,
    narrator::Narrator,
};
use crate::{
    cli::{known::known, output::print, presets::words},
    clock::{Clock, SystemClock, Timestamp},
    config,
    verify::{Judged, Keyring, PublicUrl, Reply, Settings, Unverified, Verifier, scheme::Preset},
};

mod plugin;

/// Reads a raw HTTP/1.1 request from standard input, checks it the way a route would, and says what was computed and
/// which step failed. Exits with 0 if it is accepted, 1 if it is refused, 2 if it cannot be checked.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    /// The plugin's config: JSON in braces, or a file of JSON or TOML
    #[arg(long, value_name = "JSON|FILE", requires = "plugin")]
    pub(super) config: Option<String>,
    /// A secret; may be repeated. Other users of this machine can see it in the list of processes
    #[arg(long = "secret", value_name = "SECRET", allow_hyphen_values = true)]
    pub(super) secrets: Vec<SecretText>,
    /// An environment variable that holds a secret; may be repeated
    #[arg(long = "secret-env", value_name = "NAME")]
    pub(super) secret_envs: Vec<String>,
    /// The sender's public key: in the scheme's encoding, in PEM, or a file of one of these; may be repeated
    #[arg(long = "public-key", value_name = "KEY", allow_hyphen_values = true)]
    pub(super) public_keys: Vec<String>,
    /// The sender's JSON Web Key Set: the JSON, or a file of it
    #[arg(long, value_name = "JSON|FILE")]
    pub(super) jwks: Option<String>,
    /// A value that the scheme needs, as `name=value`; may be repeated, also for one name
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_var)]
    pub(super) vars: Vec<(String, String)>,
    /// Our URL of this request as the provider signed it [default: made of the request's host and target]
    #[arg(long)]
    pub(super) url: Option<PublicUrl>,
    /// The time to judge the request's by, in seconds since 1970; without it, times are not judged, but by a plugin as of
    /// now
    #[arg(long, value_name = "UNIX", value_parser = parse_now)]
    now: Option<Timestamp>,
    /// Show the signature that would have been right: it is as good as the secret for this request
    #[arg(long)]
    show_expected: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct WhichArgs {
    /// The provider
    #[arg(long, value_name = "NAME", value_parser = known)]
    pub(super) preset: Option<&'static Preset>,
    /// A TOML file with a scheme, as a route has it inline
    #[arg(long, value_name = "FILE")]
    pub(super) scheme: Option<PathBuf>,
    /// A plugin that verifies; it is run
    #[arg(long, value_name = "FILE")]
    pub(super) plugin: Option<PathBuf>,
}

/// A secret from the command line, which is not shown.
#[derive(Clone)]
pub(super) struct SecretText(String);

/// Why a request cannot be checked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Usage {
    #[error("nothing says how to verify: give --preset, --scheme or --plugin")]
    NoScheme,
    #[error("{0}")]
    Plugin(String),
    #[error("--{option} is for schemes: a plugin has --config, --secret, --secret-env and --url")]
    NotOfPlugin { option: &'static str },
    #[error("failed to read `{}`: {error}", .file.display())]
    File { file: PathBuf, error: io::Error },
    #[error("`{}` is not a scheme: {why}", .file.display())]
    Scheme { file: PathBuf, why: String },
    #[error("the scheme needs a secret: give --secret or --secret-env")]
    NoSecret,
    #[error("environment variable `{name}` is not set, or is not text; --secret-env names it for a secret")]
    NoSuchVariable { name: String },
    #[error("the scheme needs the sender's public key: give --public-key or --jwks")]
    NoPublicKey,
    #[error(
        "the provider publishes its keys, and nothing is fetched here: give the one it signed with as --public-key \
         or --jwks"
    )]
    NoPublishedKey,
    #[error("--jwks is not a JSON Web Key Set, such as {{\"keys\":[…]}}")]
    Jwks,
    #[error("the scheme needs `{name}` ({about}): give --var {name}=…")]
    NoVar { name: String, about: String },
    #[error("the provider signs our URL, and the request has no `host`: give --url")]
    NoUrl,
    #[error("failed to read the request from standard input")]
    Input(#[source] io::Error),
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// Explains the request on standard input.
///
/// # Errors
/// When the explanation cannot be written.
pub(super) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let mut input = Vec::new();
    let read = io::stdin().read_to_end(&mut input).map_err(Usage::Input);
    let explained = match read {
        Ok(_) => explain(args, &input).await,
        Err(error) => Err(error),
    };
    match explained {
        Ok(Explained { text, accepted }) => {
            print(&text)?;
            Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(usage) => {
            eprintln!("error: {usage}");
            Ok(ExitCode::from(2))
        }
    }
}

#[derive(Debug)]
struct Explained {
    text: String,
    accepted: bool,
}

async fn explain(args: &ExplainArgs, input: &[u8]) -> Result<Explained, Usage> {
    // A plugin cannot leave times out: it judges by a clock, or not at all.
    let now = args.now.or_else(|| args.which.plugin.is_some().then(|| SystemClock.now()));
    let request = capture(input, now.unwrap_or_default())?;
    let mut narrator = Narrator::new(args.show_expected);
    let verifier = match &args.which.plugin {
        Some(file) => {
            let (proof, verifier) = plugin::load(args, file, &request)?;
            plugin::introduce(&mut narrator, args, &proof, &request);
            verifier
        }
        None => {
            let given = Given::new(args, &request)?;
            introduce(&mut narrator, args, &given, &request);
            Verifier::new(&config::Verify::Proof(Box::new(given.settings)), &Arc::new(Keyring::default()))
        }
    };
    let body = request.body.clone();
    Ok(match verifier.verify_before(request, now, &mut narrator).await {
        Ok(Judged::Question(Reply { status, body, .. })) => {
            let outcome = format!("answered: {}, with a body of {} bytes", status.as_u16(), body.len());
            Explained { text: narrator.end(&outcome), accepted: true }
        }
        Ok(Judged::Genuine(genuine)) => {
            let event = genuine.into_event(body);
            narrator.say("delivery id", event.delivery_id.as_deref().unwrap_or("none"));
            narrator.say("event type", event.event_type.as_deref().unwrap_or("none"));
            Explained { text: narrator.end("accepted"), accepted: true }
        }
        Err(refused) => {
            let outcome = format!("refused: {}: {refused}", refused.code());
            Explained { text: narrator.end(&outcome), accepted: false }
        }
    })
}

/// What is known before anything is checked.
fn introduce(narrator: &mut Narrator, args: &ExplainArgs, given: &Given, request: &Unverified) {
    let Settings { preset, scheme, secrets, public_keys, jwks, url, .. } = &given.settings;
    narrator.say("scheme", preset.as_deref().unwrap_or("inline"));
    for line in words::proof(scheme) {
        narrator.say("", &line);
    }
    of_request(narrator, request);
    if let Some(url) = url.as_ref().filter(|_| scheme.signs_url()) {
        narrator.say("our url", &url.of(&request.path, request.query.as_deref()));
    }
    let keys = public_keys.len();
    let set = if jwks.is_some() { ", a key set" } else { "" };
    narrator.say("given", &format!("{} usable secrets, {keys} public keys{set}", secrets.len()));
    for (what, note) in &given.notes {
        narrator.say(what, note);
    }
    of_time(narrator, args, "not given, so times are not judged: see --now");
    if args.show_expected {
        narrator.say(
            "warning",
            "an expected signature is as good as the secret for this request: keep it to yourself",
        );
    }
}

fn of_request(narrator: &mut Narrator, request: &Unverified) {
    let query = request.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
    narrator.say("request", &format!("{} {}{query}", request.method, request.path));
    let (fields, bytes) = (request.headers.len(), request.body.len());
    narrator.say("", &format!("{fields} header fields, a body of {bytes} bytes"));
}

fn of_time(narrator: &mut Narrator, args: &ExplainArgs, without: &str) {
    match args.now {
        Some(now) => narrator.say("now", &format!("{now}, which is {} s since 1970", now.as_secs())),
        None => narrator.say("now", without),
    }
}

pub(in crate::cli) fn parse_var(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as `name=value`".to_owned()),
    }
}

/// Whole seconds, or with up to three decimals.
fn parse_now(text: &str) -> Result<Timestamp, String> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let millis = format!("{seconds}{decimals:0<3}");
    let fits = !seconds.is_empty() && decimals.len() <= 3 && is_number(&millis);
    let millis = millis.parse().ok().filter(|_| fits);
    millis
        .map(Timestamp::from_millis)
        .ok_or_else(|| "write it in seconds since 1970, such as `1700000000`".to_owned())
}

impl SecretText {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use clap::Parser;
    use flate2::read::GzDecoder;
    use serde_json::Value;

    use super::*;
    use crate::plugin::{Kind, block_on, fixtures::Wat};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: ExplainArgs,
    }

    /// `sluice verify explain` with these arguments and this input.
    fn run(list: &[&str], input: &[u8]) -> Result<Explained, String> {
        let cli = Cli::try_parse_from([&["explain"], list].concat()).map_err(|error| error.to_string())?;
        block_on(explain(&cli.args, input)).map_err(|usage| usage.to_string())
    }

    const SLACK: &[u8] = b"POST /in HTTP/1.1\r\nHost: h.test\r\n\
        X-Slack-Request-Timestamp: 1531420618\r\n\
        X-Slack-Signature: v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503\r\n\r\n\
        token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
        channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
        response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
        trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    const SLACK_ARGS: [&str; 4] = ["--preset", "slack", "--secret", "8f742231b10e8888abcd99yyyzzz85a5"];

    fn last_line(explained: &Explained) -> &str {
        explained.text.lines().last().unwrap()
    }

    #[test]
    fn a_captured_request_is_accepted_without_a_clock() {
        let explained = run(&SLACK_ARGS, SLACK).unwrap();
        assert_eq!((last_line(&explained), explained.accepted), ("accepted", true), "{}", explained.text);
        assert!(!explained.text.contains("8f742231b10e"), "{}", explained.text);
    }

    #[test]
    fn a_refusal_names_its_code_and_why() {
        let explained = run(&[&SLACK_ARGS[..], &["--now", "1531421618"]].concat(), SLACK).unwrap();
        let expected = "refused: timestamp_stale: timestamp is 1000 s old, tolerance is 300 s";
        assert_eq!((last_line(&explained), explained.accepted), (expected, false));
    }

    #[test]
    fn an_unusable_secret_lets_nobody_in() {
        for (preset, secret) in [("slack", ""), ("svix", "whsec_?")] {
            let explained = run(&["--preset", preset, "--secret", secret], SLACK).unwrap();
            assert!(last_line(&explained).starts_with("refused: "), "{}", explained.text);
            assert!(explained.text.contains("secret 1 cannot be used: the secret is"), "{}", explained.text);
        }
    }

    #[test]
    fn what_cannot_be_checked_is_bad_usage() {
        for (list, why) in [
            (&["--preset", "slakc", "--secret", "s"][..], "did you mean `slack`?"),
            (&["--secret", "s"], "required"),
            (&["--preset", "slack"], "give --secret"),
            (&["--preset", "slack", "--secret-env", "SLUICE_TEST_UNSET"], "`SLUICE_TEST_UNSET` is not set"),
            (&["--preset", "sendgrid"], "needs the sender's public key"),
            (&["--preset", "paypal"], "nothing is fetched here"),
            (&["--preset", "paypal", "--public-key", "k"], "give --var webhook_id=…"),
            (&["--preset", "plaid", "--jwks", "{}"], "--jwks is not"),
            (&["--preset", "plaid", "--jwks", "/nowhere"], "failed to read `/nowhere`"),
            (&["--scheme", "/nowhere", "--secret", "s"], "failed to read `/nowhere`"),
            (&["--preset", "slack", "--secret", "s", "--now", "soon"], "seconds since 1970"),
            (&["--preset", "slack", "--secret", "s", "--var", "x"], "name=value"),
            (&["--preset", "slack", "--secret", "s", "--url", "x"], "is not a URL"),
        ] {
            let error = run(list, SLACK).unwrap_err();
            assert!(error.contains(why), "{list:?}: {error}");
        }
        let error = run(&SLACK_ARGS, b"POST /in HTTP/1.1\r\n").unwrap_err();
        assert!(error.contains("an empty line must follow"), "{error}");
        let error = run(&["--preset", "square", "--secret", "s"], b"POST / HTTP/1.1\r\n\r\n").unwrap_err();
        assert!(error.contains("give --url"), "{error}");
    }

    #[test]
    fn a_plugin_is_asked_and_what_it_says_is_shown() {
        let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
        let guest = |call| Wat { kind: Kind::Verify, call, ..Wat::default() }.module();
        let list = ["--plugin", file.path().to_str().unwrap(), "--secret", "hush", "--now", "17"];
        let says = r#"(call $log (i32.const 2) (i32.const 1024) (i32.const 6)) (call $drop)"#;
        for (call, last, accepted) in [
            ("(call $ok)", "accepted", true),
            (says, "refused: plugin_refused: plugin `", false),
            ("(unreachable)", "refused: plugin_unavailable: plugin `", false),
        ] {
            std::fs::write(&file, guest(call)).unwrap();
            let explained = run(&list, SLACK).unwrap();
            assert!(last_line(&explained).starts_with(last), "{}", explained.text);
            assert_eq!(explained.accepted, accepted);
            assert_eq!(explained.text.contains("info: reason"), call == says, "{}", explained.text);
            assert!(!explained.text.contains("hush"), "{}", explained.text);
        }
        let error = run(&[&list[..], &["--var", "a=b"]].concat(), SLACK).unwrap_err();
        assert!(error.starts_with("--var is for schemes"), "{error}");
        std::fs::write(&file, crate::plugin::fixtures::filter("(call $ok)")).unwrap();
        let error = run(&list, SLACK).unwrap_err();
        assert!(error.contains("`verify` takes plugins that export `verify`"), "{error}");
    }

    #[test]
    fn a_scheme_can_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "family = \"token\"\nfrom = \"header:X-Slack-Request-Timestamp\"").unwrap();
        let list = ["--scheme", file.path().to_str().unwrap(), "--secret", "1531420618"];
        assert!(run(&list, SLACK).unwrap().accepted);
    }

    /// What is there only to be compared with a value that is not given cannot be judged.
    #[test]
    fn a_condition_whose_value_is_not_given_is_not_judged() {
        let body = b"POST / HTTP/1.1\nx-pusher-key: other\n\
            x-pusher-signature: f3799a5cbdbec7a3a0f2ec04fdbd6dd63ef4cd2ec2a5dbb8cf8f93c1c4b0c6f1\n\n{}";
        let explained = run(&["--preset", "pusher", "--secret", "s"], body).unwrap();
        assert!(explained.text.contains("without --var key=…"), "{}", explained.text);
    }

    #[test]
    fn moments_are_read_to_the_millisecond() {
        let read = |text: &str| parse_now(text).map(Timestamp::as_millis);
        assert_eq!(read("17"), Ok(17_000));
        assert_eq!(read("17.05"), Ok(17_050));
        for text in ["", ".5", "-1", "1e3", "17.0001", "x", "99999999999999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    /// A vector's request as it would be captured.
    fn captured(vector: &Value, end: &str) -> Vec<u8> {
        let url: reqwest::Url = vector["url"].as_str().unwrap().parse().unwrap();
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut head = vec![format!("{} {}{query} HTTP/1.1", vector["method"].as_str().unwrap(), url.path())];
        let names: Vec<_> = vector["headers"].as_object().unwrap().iter().collect();
        if !names.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push(format!("Host: {}", url.host_str().unwrap()));
        }
        for (name, values) in names {
            let one = std::slice::from_ref(values);
            let values = values.as_array().map_or(one, Vec::as_slice);
            head.extend(values.iter().map(|value| format!("{name}: {}", value.as_str().unwrap())));
        }
        head.extend([String::new(), String::new()]);
        let mut text = head.join(end).into_bytes();
        text.extend(body(vector));
        text
    }

    fn body(vector: &Value) -> Vec<u8> {
        match (vector["body_base64"].as_str(), vector["body_repeat"].as_array()) {
            (Some(text), _) => STANDARD.decode(text).unwrap(),
            (None, Some(repeat)) => {
                let times = usize::try_from(repeat[1].as_u64().unwrap()).unwrap();
                repeat[0].as_str().unwrap().repeat(times).into_bytes()
            }
            (None, None) => vector["body"].as_str().unwrap_or_default().to_owned().into_bytes(),
        }
    }

    /// A vector's keys as they would be typed.
    fn typed(vector: &Value) -> Vec<String> {
        let texts = |key: &str| -> Vec<String> {
            let many = vector[key].as_array().into_iter().flatten();
            vector[key]
                .as_str()
                .into_iter()
                .chain(many.filter_map(Value::as_str))
                .map(str::to_owned)
                .collect()
        };
        let mut list = vec!["--preset".to_owned(), vector["scheme"].as_str().unwrap().to_owned()];
        for (flag, key) in [
            ("--secret", "secret"),
            ("--secret", "secrets"),
            ("--public-key", "public_key"),
            ("--public-key", "public_key_pem"),
            ("--url", "url"),
        ] {
            list.extend(texts(key).into_iter().flat_map(|text| [flag.to_owned(), text]));
        }
        for (name, value) in vector["vars"].as_object().into_iter().flatten() {
            list.extend(["--var".to_owned(), format!("{name}={}", value.as_str().unwrap())]);
        }
        list.extend(
            vector["jwks"]
                .as_object()
                .map(|_| vector["jwks"].to_string())
                .into_iter()
                .flat_map(|set| ["--jwks".to_owned(), set]),
        );
        list.extend(vector["now"].as_u64().into_iter().flat_map(|now| ["--now".to_owned(), now.to_string()]));
        list
    }

    fn vectors() -> Vec<Value> {
        let packed = include_bytes!("../../../../tests/fixtures/providers/vectors.json.gz");
        let mut text = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn every_vector_comes_out_as_typed() {
        let vectors = vectors();
        assert!(vectors.len() > 900, "{}", vectors.len());
        let mut wrong = Vec::new();
        for vector in &vectors {
            let list = typed(vector);
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            for end in ["\r\n", "\n"] {
                let outcome = run(&list, &captured(vector, end));
                if outcome.as_ref().map(|explained| explained.accepted) != Ok(vector["valid"] == true) {
                    wrong.push(format!("{} {outcome:?}", vector["id"]));
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}

//! Whole files: what is read, what is refused and how it is said.

use std::{collections::HashMap, fs, path::Path};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Every key there is.
const FULL_BUT_SCHEME: &str = r#"
[server]
listen = "0.0.0.0:8443"
tls = { cert = "cert.pem", key = "key.pem" }
max_connections = 500
max_headers = "16KiB"
header_timeout = "5s"
body_timeout = "1m30s"
grace = "0s"

[admin]
listen = "[::]:9091"
token = { env = "A" }

[journal]
path = "state"
retain = "7d"
max_size = "1GB"

[plugins.filter]
file = "filter.wasm"
sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
limits = { time = "100ms", memory = "64MiB", output = "2MiB", wait = "3s" }
isolation = "pooled"
pool = { calls = 10, idle = "5s", memory = "32MiB" }
grants = { kv = "1MiB", http = ["API.example.com:8443", "*.example.com", { url = "http://users.internal", private = true }] }
canary = { file = "candidate.wasm", sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", share = 0.05 }

[plugins.shadowed]
file = "filter.wasm"
quarantine = { failures = 5, window = "1m", then = "on-error" }
canary = { file = "candidate.wasm", shadow = true }

[plugins.plain]
file = "filter.wasm"
quarantine = false

[destinations.tracker]
url = "https://tracker.internal/hooks?a=b"
timeout = "10s"
concurrency = 8
retry = ["1s", "1h"]
sign = { secrets = [{ env = "SIGN" }, { file = "secret" }] }
headers = { authorization = { env = "A" }, X-Team = "crm" }
forward_headers = ["X-GitHub-Event"]

[[routes]]
name = "github"
host = "Hooks.Example.com"
path = "/{tenant}/github"
methods = ["POST", "PUT"]
verify = { preset = "github", secrets = [
  { env = "A", valid_until = 2026-12-31T00:00:00Z },
  { file = "secret", valid_from = "2026-12-30T00:00:00Z" },
] }
dedupe = "1h"
max_body = "25MiB"
rate = "1000/m"
pipeline = [
  { plugin = "plain", at = "edge" },
  { plugin = "filter", config = { actions = ["opened"], since = 2026-01-01, n = 1.5 }, on_error = "dead-letter" },
  { plugin = "shadowed" },
]
batch = { plugin = "plain", config = { a = 1 }, events = 50, bytes = "64KiB", wait = "500ms", by_key = true }
deliver = ["tracker"]

[[routes]]
name = "custom"
path = "/custom"
verify = { scheme = SCHEME, secrets = ["inline"] }
dedupe = false
deliver = ["tracker"]

[[routes]]
name = "proven"
path = "/proven"
verify = { plugin = "plain", config = { b = 2 }, secrets = [{ env = "A" }], url = "https://hooks.example.com" }
deliver = ["tracker"]
"#;

fn full() -> String {
    let scheme = &crate::verify::scheme::preset("github").unwrap().scheme;
    FULL_BUT_SCHEME.replace("SCHEME", &toml::Value::try_from(&**scheme).unwrap().to_string())
}

/// The least that is a config.
const LEAST: &str = r#"
[destinations.a]
url = "http://127.0.0.1:1/"
[[routes]]
name = "r"
path = "/r"
verify = { preset = "github", secrets = [{ env = "A" }] }
deliver = ["a"]
"#;

/// [`LEAST`] with these keys of a plugin `p`, and these of the route, which begin in lines 3 and 11.
fn with_plugin(plugin: &str, route: &str) -> String {
    format!("[plugins.p]\nfile = \"filter.wasm\"\n{plugin}{LEAST}{route}\n")
}

/// A directory with what the configs name, and an environment.
struct Bench {
    dir: tempfile::TempDir,
    env: HashMap<String, String>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("filter.wasm", "\0asm"),
            ("candidate.wasm", "\0asm"),
            ("cert.pem", "cert"),
            ("key.pem", "key"),
            ("secret", "from-file\r\n"),
            ("empty", "\n"),
        ] {
            fs::write(dir.path().join(name), content).unwrap();
        }
        fs::write(dir.path().join("huge"), vec![b'x'; 70_000]).unwrap();
        let env =
            [("A", "secret-a"), ("SIGN", "whsec_YWJj"), ("EMPTY", ""), ("LINES", "a\nb"), ("BAD", "whsec_?")];
        Self { dir, env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn parse(&self, text: &str) -> Result<(Config, Vec<Warning>), Report> {
        Config::parse(text, &self.path("sluice.toml"), &self.env)
    }

    #[track_caller]
    fn config(&self, text: &str) -> Config {
        self.parse(text).expect("the config is right").0
    }

    #[track_caller]
    fn refused(&self, text: &str) -> Report {
        self.parse(text).expect_err("the config is wrong")
    }

    /// What is shown, with the directory taken out of the paths.
    fn relative(&self, shown: &str) -> String {
        shown.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

/// `text` is refused with exactly `expected`, which begins with a line break for looks.
#[track_caller]
fn refuses(text: &str, expected: &str) {
    let bench = Bench::new();
    let shown = bench.relative(&bench.refused(text).to_string());
    assert_eq!(format!("\n{shown}\n"), expected, "\n{shown}\n");
}

/// [`LEAST`] with `from` replaced is refused with one error, of which this is the line.
#[track_caller]
fn refuses_change(from: &str, to: &str, expected: &str) {
    assert!(LEAST.contains(from), "`{from}` is not there to be replaced");
    refuses_line(&LEAST.replace(from, to), expected);
}

#[track_caller]
fn refuses_line(text: &str, expected: &str) {
    let bench = Bench::new();
    let lines: Vec<_> = bench.refused(text).lines().map(|line| bench.relative(&line)).collect();
    assert_eq!(lines, [expected]);
}

#[track_caller]
fn warns(text: &str, expected: &[&str]) {
    let bench = Bench::new();
    let (_, warnings) = bench.parse(text).expect("the config is right");
    let lines: Vec<_> = warnings.iter().map(|warning| bench.relative(&warning.line())).collect();
    assert_eq!(lines, expected);
}

// What is read.

#[test]
fn every_key_is_read() {
    let bench = Bench::new();
    let config = bench.config(&full());
    assert_eq!(
        config.server,
        Server {
            listen: "0.0.0.0:8443".parse().unwrap(),
            tls: Some(Tls { cert: bench.path("cert.pem"), key: bench.path("key.pem") }),
            max_connections: 500,
            max_headers: 16 << 10,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(90),
            grace: Duration::ZERO,
        }
    );
    assert_eq!(config.admin.listen, "[::]:9091".parse().unwrap());
    assert_eq!(config.admin.token.unwrap().expose(), b"secret-a");
    let retain = Duration::from_secs(7 * 86_400);
    assert_eq!(config.journal, Journal { path: bench.path("state"), retain, max_size: 1_000_000_000 });
    let plugin = &config.plugins["filter"];
    assert_eq!((&*plugin.name, &plugin.file), ("filter", &bench.path("filter.wasm")));
    assert_eq!(plugin.sha256.map(|digest| (digest[0], digest[31])), Some((0xe3, 0x55)));
    let limits = Limits {
        time: Duration::from_millis(100),
        memory: 64 << 20,
        output: 2 << 20,
        wait: Duration::from_secs(3),
    };
    assert_eq!(plugin.limits, limits);
}

#[test]
fn how_a_plugin_is_run_and_what_it_may_use_is_read() {
    let bench = Bench::new();
    let config = bench.config(&full());
    let plugin = &config.plugins["filter"];
    let pool = Pool { calls: 10, idle: Duration::from_secs(5), memory: 32 << 20 };
    assert_eq!(plugin.isolation, Isolation::Pooled(pool));
    assert_eq!(plugin.grants.kv, Some(1 << 20));
    let grant =
        |scheme, host: &str, port, private| HttpGrant { scheme, host: host.to_owned(), port, private };
    let http = [
        grant(Scheme::Https, "api.example.com", 8443, false),
        grant(Scheme::Https, "*.example.com", 443, false),
        grant(Scheme::Http, "users.internal", 80, true),
    ];
    assert_eq!(plugin.grants.http, http);
    let canary = plugin.canary.as_ref().unwrap();
    assert_eq!((&canary.file, canary.mode), (&bench.path("candidate.wasm"), CanaryMode::Share(0.05)));
    assert!(canary.sha256.is_some());
    assert_eq!(config.plugins["shadowed"].canary.as_ref().unwrap().mode, CanaryMode::Shadow);
}

#[test]
fn what_is_left_out_of_a_plugin_has_the_documented_default() {
    let bench = Bench::new();
    let config = bench.config(&with_plugin("", "pipeline = [{ plugin = \"p\" }]"));
    let expected =
        Plugin { quarantine: Some(Quarantine::default()), ..Plugin::new("p", bench.path("filter.wasm")) };
    assert_eq!(*config.plugins["p"], expected);
    let Limits { time, memory, output, wait } = expected.limits;
    assert_eq!((time.as_millis(), memory, output, wait.as_secs()), (50, 32 << 20, 1 << 20, 10));
    assert_eq!((expected.isolation, expected.grants.is_empty()), (Isolation::Event, true));
    let pooled = bench.config(&with_plugin("isolation = \"pooled\"", "pipeline = [{ plugin = \"p\" }]"));
    let pool = Pool { calls: 1000, idle: Duration::from_secs(60), memory: 64 << 20 };
    assert_eq!(pooled.plugins["p"].isolation, Isolation::Pooled(pool));
    assert_eq!(pooled.routes[0].pipeline[0].at, At::Pipeline);
    let batch = bench.config(&with_plugin("", "batch = { plugin = \"p\" }")).routes[0].batch.clone().unwrap();
    assert_eq!((batch.events, batch.bytes, batch.wait.as_secs(), batch.by_key), (100, 1 << 20, 2, false));
}

#[test]
fn every_key_of_a_destination_is_read() {
    let config = Bench::new().config(&full());
    let tracker = &config.destinations["tracker"];
    assert_eq!(tracker.url.as_str(), "https://tracker.internal/hooks?a=b");
    assert_eq!((tracker.timeout, tracker.concurrency), (Duration::from_secs(10), 8));
    assert_eq!(tracker.retry, [Duration::from_secs(1), Duration::from_secs(3600)]);
    let keys: Vec<_> = tracker.sign.iter().map(|secret| secret.signing_key().unwrap().into_owned()).collect();
    assert_eq!(keys, [b"abc".to_vec(), b"from-file".to_vec()]);
    let headers: Vec<_> =
        tracker.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("authorization", &b"secret-a"[..]), ("x-team", b"crm")]);
    assert_eq!(tracker.forward_headers, ["x-github-event"]);
}

#[test]
fn every_key_of_a_route_is_read() {
    let config = Bench::new().config(&full());
    let [github, custom, proven] = &config.routes[..] else { panic!("three routes") };
    assert_eq!((&*github.name, github.host.as_deref()), ("github", Some("hooks.example.com")));
    assert_eq!((&*github.path, &github.methods[..]), ("/{tenant}/github", &[Method::POST, Method::PUT][..]));
    assert_eq!((github.dedupe, github.max_body), (Some(Duration::from_secs(3600)), 25 << 20));
    assert_eq!(github.rate.map(|rate| (rate.events.get(), rate.per.as_secs())), Some((1000, 60)));
    assert_eq!(github.deliver, [Arc::from("tracker")]);
    let [edge, step, _] = &github.pipeline[..] else { panic!("three steps") };
    assert_eq!((&edge.plugin, edge.at, step.at), (&config.plugins["plain"], At::Edge, At::Pipeline));
    assert_eq!((&step.plugin, step.on_error), (&config.plugins["filter"], OnError::DeadLetter));
    let expected = serde_json::json!({ "actions": ["opened"], "since": "2026-01-01", "n": 1.5 });
    assert_eq!(step.config, expected);
    assert_eq!((custom.dedupe, &custom.methods[..]), (None, &[Method::POST][..]));
    assert!(matches!(&custom.verify, Verify::Proof(proof) if proof.preset.is_none()));
    let batch = github.batch.as_ref().unwrap();
    assert_eq!((&batch.plugin, &batch.config), (&config.plugins["plain"], &serde_json::json!({ "a": 1 })));
    assert_eq!((batch.events, batch.bytes, batch.wait.as_millis(), batch.by_key), (50, 64 << 10, 500, true));
    let Verify::Plugin(proof) = &proven.verify else { panic!("a plugin") };
    assert_eq!((&proof.plugin, &proof.config), (&config.plugins["plain"], &serde_json::json!({ "b": 2 })));
    assert_eq!((proof.secrets[0].expose(), proof.secrets.len()), (&b"secret-a"[..], 1));
    assert_eq!(proof.url.as_ref().map(ToString::to_string).as_deref(), Some("https://hooks.example.com"));
}

#[test]
fn secrets_come_from_where_they_are_kept_and_count_when_they_should() {
    let bench = Bench::new();
    let config = bench.config(&full());
    let Verify::Proof(proof) = &config.routes[0].verify else { panic!("a preset") };
    let secrets = &proof.secrets;
    assert_eq!(proof.preset.as_deref(), Some("github"));
    assert_eq!((secrets[0].expose(), secrets[0].origin()), (&b"secret-a"[..], "env A"));
    let origin = format!("file {}", bench.path("secret").display());
    assert_eq!((secrets[1].expose(), secrets[1].origin()), (&b"from-file"[..], &*origin));
    // 2026-12-30T12:00:00Z: both, so that a secret can be changed without a gap.
    let noon = crate::clock::Timestamp::from_millis(1_798_632_000_000);
    let later = noon + Duration::from_secs(86_400);
    assert!(secrets.iter().all(|secret| secret.is_active(noon)));
    assert_eq!(secrets.iter().map(|secret| secret.is_active(later)).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let bench = Bench::new();
    let config = bench.config(LEAST);
    assert_eq!(
        (config.server.listen.to_string(), config.server.max_connections),
        ("127.0.0.1:8080".into(), 10_000)
    );
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
    assert_eq!((config.journal.path, config.journal.max_size), (bench.path("data"), 10 << 30));
    let destination = &config.destinations["a"];
    let retry: Vec<_> = destination.retry.iter().map(Duration::as_secs).collect();
    assert_eq!(retry, [5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
    assert_eq!((destination.timeout.as_secs(), destination.concurrency), (30, 32));
    let route = &config.routes[0];
    assert_eq!((route.dedupe, route.max_body), (Some(Duration::from_secs(86_400)), 1 << 20));
}

#[test]
fn every_file_that_was_read_is_listed_once() {
    let bench = Bench::new();
    let files = ["sluice.toml", "cert.pem", "key.pem", "filter.wasm", "candidate.wasm", "secret"]
        .map(|name| bench.path(name));
    assert_eq!(bench.config(&full()).files, files);
}

#[test]
fn no_secret_is_in_what_debug_shows() {
    let shown = format!("{:?}", Bench::new().config(&full()));
    for secret in ["secret-a", "from-file", "whsec_", "inline\""] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

// What is refused, and how it is said.

#[test]
fn many_mistakes_are_told_in_one_run() {
    let bench = Bench::new();
    let report = bench.refused(
        r#"[server]
listen = ":80"
max_conections = 10
grace = 30
[jornal]
[plugins.p]
file = "missing.wasm"
[destinations.d]
concurrency = 0
retry = ["5s", "5x"]
[destinations.E]
url = "https://a/"
[[routes]]
name = "r"
verify = { preset = "githb", secrets = [{ env = "UNSET" }], tolerance = "5m" }
pipeline = [{ plugin = "q", on_eror = "drop" }]
deliver = ["e"]
"#,
    );
    let lines: Vec<_> = report.lines().map(|line| bench.relative(&line)).collect();
    let expected = [
        "sluice.toml:2:10: `:80` is not an address to listen on (hint: write \"0.0.0.0:80\" for every address of this machine)",
        "sluice.toml:3:1: unknown key `max_conections` (hint: did you mean `max_connections`?)",
        "sluice.toml:4:9: expected a duration such as \"30s\", found an integer",
        "sluice.toml:5:2: unknown key `jornal` (hint: did you mean `journal`?)",
        "sluice.toml:7:8: cannot read plugin `missing.wasm`: No such file or directory (os error 2)",
        "sluice.toml:8:15: missing key `url` (hint: `url` is where messages are posted)",
        "sluice.toml:9:15: 0 is not from 1 to 10000",
        "sluice.toml:10:16: `5x` is not a duration (hint: write a whole number and a unit (ms, s, m, h, d), such as \"30s\")",
        "sluice.toml:11:15: `E` is not a name (hint: use `a` to `z`, `0` to `9`, `_` and `-`, beginning with a letter or a digit, 64 characters at most)",
        "sluice.toml:13:1: missing key `path` (hint: `path` is what requests are made to, such as \"/github\")",
        "sluice.toml:15:21: there is no preset `githb` (hint: did you mean `github`?)",
        "sluice.toml:15:49: environment variable `UNSET` is not set (hint: set it where the gateway is started)",
        "sluice.toml:15:61: unknown key `tolerance` (hint: known keys are `preset`, `scheme`, `plugin`, `config`, `secrets`, `public_keys`, `jwks`, `vars`, `url`)",
        "sluice.toml:16:24: route `r` names plugin `q`, which is not defined (hint: did you mean `p`?)",
        "sluice.toml:16:29: unknown key `on_eror` (hint: did you mean `on_error`?)",
        "sluice.toml:17:12: route `r` names destination `e`, which is not defined (hint: did you mean `d`?)",
    ];
    assert_eq!(lines, expected, "{lines:#?}");
    assert_eq!(report.errors(), expected.len());
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_known_one() {
    refuses(
        &LEAST.replace("[[routes]]", "retyr = [\"5s\"]\n[[routes]]"),
        r#"
error: unknown key `retyr`
 --> sluice.toml:4:1
  |
4 | retyr = ["5s"]
  | ^^^^^
  |
  = hint: did you mean `retry`?
"#,
    );
}

#[test]
fn the_caret_is_under_the_wrong_value_of_an_inline_table() {
    refuses(
        &format!(
            "[plugins.x]\nfile = \"filter.wasm\"{LEAST}pipeline = [{{ plugin = \"x\", on_error = \"retri\" }}]\n"
        ),
        r#"
error: `retri` is not one of the values known here
  --> sluice.toml:10:40
   |
10 | pipeline = [{ plugin = "x", on_error = "retri" }]
   |                                        ^^^^^^^
   |
   = hint: did you mean `retry`?
"#,
    );
}

#[test]
fn two_routes_of_one_name_are_shown_together() {
    let text = LEAST.to_owned()
        + "[[routes]]\nname = \"r\"\npath = \"/other\"\nverify = { preset = \"github\", secrets = [{ env = \"A\" }] }\ndeliver = [\"a\"]\n";
    refuses(
        &text,
        r#"
error: two routes are called `r`
  --> sluice.toml:10:8
   |
 5 | name = "r"
   |        --- the first one
...
10 | name = "r"
   |        ^^^
"#,
    );
}

#[test]
fn an_inline_secret_is_not_shown_beside_a_mistake() {
    refuses(
        &LEAST.replace("[{ env = \"A\" }]", "\"hunter2\""),
        r#"
error: expected an array, found a string
 --> sluice.toml:7:41
  |
7 | verify = { preset = "github", secrets = "*******" }
  |                                         ^^^^^^^^^
  |
  = hint: write it in brackets, even if there is only one: `[…]`
"#,
    );
}

#[test]
fn a_public_key_that_the_scheme_cannot_use_is_named() {
    refuses(
        &LEAST.replace(
            "preset = \"github\", secrets = [{ env = \"A\" }]",
            "preset = \"discord\", public_keys = [\"xyz\"]",
        ),
        r#"
error: the public key does not fit the scheme: the public key is not hex, and not PEM either
 --> sluice.toml:7:47
  |
7 | verify = { preset = "discord", public_keys = ["xyz"] }
  |                                               ^^^^^
"#,
    );
}

#[test]
fn text_that_is_not_toml_is_shown_where_it_breaks() {
    refuses(
        "[server]\nlisten = 127.0.0.1:80\n",
        r#"
error: invalid float, expected nothing
 --> sluice.toml:2:15
  |
2 | listen = 127.0.0.1:80
  |               ^^^^^^^
  |
  = hint: text is written in quotes: `key = "value"`
"#,
    );
    refuses(
        "[admin]\ntoken = \"hunter2\n",
        r#"
error: invalid basic string, expected `"`
 --> sluice.toml:2:17
  |
2 | token = "*******
  |                 ^
"#,
    );
}

#[test]
fn every_place_where_text_is_not_toml_is_told() {
    let bench = Bench::new();
    let report = bench.refused("[server]\nlisten = :80\n[admin]\ntoken = 'x\n[admin]\n");
    let lines: Vec<_> = report.lines().map(|line| bench.relative(&line)).collect();
    let expected = [
        "sluice.toml:2:10: string values must be quoted, expected literal string",
        "sluice.toml:4:11: invalid literal string, expected `'`",
        "sluice.toml:5:2: duplicate key",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_missing_key_is_shown_at_its_table() {
    refuses(
        &LEAST.replace("url = \"http://127.0.0.1:1/\"\n", ""),
        r#"
error: missing key `url`
 --> sluice.toml:2:15
  |
2 | [destinations.a]
  |               ^
  |
  = hint: `url` is where messages are posted
"#,
    );
}

#[test]
fn an_empty_file_has_no_route() {
    refuses(
        "",
        r#"
error: there is no route
 |
 = hint: add one: `[[routes]]` with `name`, `path`, `verify` and `deliver`
"#,
    );
    let hint = "(hint: add one: `[[routes]]` with `name`, `path`, `verify` and `deliver`)";
    refuses_line("routes = []", &format!("the list of routes is empty {hint}"));
}

#[test]
fn tables_written_as_something_else_are_named_by_type() {
    refuses_line(&format!("admin = 1\n{LEAST}"), "sluice.toml:1:9: expected a table, found an integer");
    refuses_change(
        "{ preset = \"github\", secrets = [{ env = \"A\" }] }",
        "3",
        "sluice.toml:7:10: expected a string or a table, found an integer",
    );
    refuses_change("name = \"r\"", "name = 2026-01-01", "sluice.toml:5:8: expected a name, found a date");
}

#[test]
fn a_verify_that_is_only_a_presets_name_is_completed() {
    refuses_change(
        "{ preset = \"github\", secrets = [{ env = \"A\" }] }",
        "\"slack\"",
        "sluice.toml:7:10: `slack` is not a way to verify \
         (hint: write `{ preset = \"slack\", secrets = [{ env = \"…\" }] }`, or \"none\")",
    );
}

#[test]
fn a_signature_needs_one_scheme_and_a_secret() {
    refuses_change(
        "[{ env = \"A\" }]",
        "[]",
        "sluice.toml:7:41: the list of secrets is empty (hint: add one, such as `{ env = \"…\" }`)",
    );
    refuses_change(
        ", secrets = [{ env = \"A\" }]",
        "",
        "sluice.toml:7:10: missing key `secrets` (hint: `secrets` is a list such as `[{ env = \"…\" }]`)",
    );
    refuses_change(
        "preset = \"github\", ",
        "",
        "sluice.toml:7:10: nothing says how to verify: missing key `preset`, `scheme` or `plugin` \
         (hint: name the provider, such as `preset = \"github\"`)",
    );
    refuses_change(
        "preset = \"github\"",
        "preset = \"github\", scheme = { family = \"token\", from = \"header:x-token\" }",
        "sluice.toml:7:40: both `preset` and `scheme` are given \
         (hint: keep `preset`, or write all of the scheme out)",
    );
}

#[test]
fn a_key_set_is_for_schemes_whose_signatures_name_a_key() {
    refuses_change(
        "preset = \"github\"",
        "preset = \"github\", jwks = \"{}\"",
        "sluice.toml:7:38: the scheme names no keys of a set, so `jwks` means nothing here \
         (hint: see `sluice presets show` for what it needs)",
    );
    refuses_change(
        "preset = \"github\", secrets = [{ env = \"A\" }]",
        "preset = \"plaid\", jwks = \"{}\"",
        "sluice.toml:7:37: the key set cannot be used: it is not a JSON Web Key Set",
    );
}

#[test]
fn secrets_that_cannot_be_had_are_refused() {
    let refuses_secret = |table: &str, expected: &str| refuses_change("{ env = \"A\" }", table, expected);
    refuses_secret(
        "{ env = \"EMPTY\" }",
        "sluice.toml:7:50: environment variable `EMPTY` is empty (hint: set it where the gateway is started)",
    );
    refuses_secret("{ file = \"empty\" }", "sluice.toml:7:51: secret file `empty` is empty");
    refuses_secret(
        "{ file = \"huge\" }",
        "sluice.toml:7:51: secret file `huge` is larger than the limit of 64KiB \
         (hint: name a file that holds the secret and nothing else)",
    );
    refuses_secret(
        "{ file = \"gone\" }",
        "sluice.toml:7:51: cannot read secret file `gone`: No such file or directory (os error 2)",
    );
    refuses_secret(
        "{}",
        "sluice.toml:7:42: nothing says where the secret is \
         (hint: write `{ env = \"NAME\" }` or `{ file = \"PATH\" }`)",
    );
    refuses_secret(
        "{ env = \"A\", file = \"secret\" }",
        "sluice.toml:7:62: both `env` and `file` are given (hint: keep the one that holds the secret)",
    );
    refuses_secret(
        "{ env = \"A\", valid_from = 2026-01-02T00:00:00Z, valid_until = 2026-01-01T00:00:00Z }",
        "sluice.toml:7:42: the secret never counts: `valid_until` is not after `valid_from`",
    );
}

#[test]
fn signing_secrets_are_base64_behind_their_prefix() {
    refuses_change(
        "[[routes]]",
        "sign = { secrets = [{ env = \"BAD\" }] }\n[[routes]]",
        "sluice.toml:4:21: not a signing secret: what follows `whsec_` is not base64 \
         (hint: `openssl rand -base64 32` gives what belongs behind `whsec_`)",
    );
}

#[test]
fn header_values_fit_a_header() {
    refuses_change(
        "[[routes]]",
        "headers = { x = { env = \"LINES\" } }\n[[routes]]",
        "sluice.toml:4:17: env LINES holds characters that cannot be sent in a header \
         (hint: only printable ASCII may be sent)",
    );
}

#[test]
fn a_header_is_given_once() {
    refuses_change(
        "[[routes]]",
        "headers = { x-a = \"1\", X-A = \"2\" }\n[[routes]]",
        "sluice.toml:4:24: header `x-a` is given twice",
    );
}

#[test]
fn an_admin_listener_that_others_reach_needs_a_token() {
    refuses_line(
        &format!("[admin]\nlisten = \"0.0.0.0:9090\"\n{LEAST}"),
        "sluice.toml:2:10: `0.0.0.0:9090` can be reached from other machines and no token is set \
         (hint: add `token = { env = \"SLUICE_ADMIN_TOKEN\" }`, or listen on 127.0.0.1)",
    );
}

#[test]
fn two_listeners_cannot_share_a_port() {
    refuses_line(
        &format!("[server]\nlisten = \"0.0.0.0:9090\"\n{LEAST}"),
        "sluice.toml:2:10: `server.listen` and `admin.listen` are both at port 9090 (hint: choose another port for one of them)",
    );
    let free = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    assert!(Bench::new().parse(&format!("{free}{LEAST}")).is_ok());
}

#[test]
fn values_out_of_bounds_are_refused_with_the_bound() {
    let server = |key: &str, expected: &str| refuses_line(&format!("[server]\n{key}\n{LEAST}"), expected);
    server("max_headers = \"4KiB\"", "sluice.toml:2:15: `4KiB` is below the limit of 8KiB");
    server("max_headers = \"2MiB\"", "sluice.toml:2:15: `2MiB` is above the limit of 1MiB");
    server("max_connections = -1", "sluice.toml:2:19: -1 is not from 1 to 1000000");
    server("header_timeout = \"0s\"", "sluice.toml:2:18: the duration is zero (hint: `1ms` is the shortest)");
    server(
        "max_connections = 99999999999999999999",
        "sluice.toml:2:19: `99999999999999999999` does not fit in 64 bits",
    );
}

#[test]
fn dedupe_is_a_duration_or_false() {
    let hint = "(hint: write a duration such as \"24h\", or `false` to not look for duplicates)";
    let line = |key: &str| format!("{LEAST}{key}\n");
    refuses_line(
        &line("dedupe = true"),
        &format!("sluice.toml:9:10: `true` does not say for how long {hint}"),
    );
    refuses_line(&line("dedupe = \"0s\""), &format!("sluice.toml:9:10: the duration is zero {hint}"));
}

#[test]
fn a_plugins_config_is_what_json_can_hold() {
    let text = format!(
        "[plugins.p]\nfile = \"filter.wasm\"{LEAST}pipeline = [{{ plugin = \"p\", config = {{ a = [nan] }} }}]"
    );
    refuses_line(&text, "sluice.toml:10:45: `nan` is not a finite number");
}

#[track_caller]
fn refuses_plugin(plugin: &str, expected: &str) {
    refuses_line(&with_plugin(plugin, "pipeline = [{ plugin = \"p\" }]"), expected);
}

#[test]
fn a_pool_is_for_pooled_plugins() {
    refuses_plugin(
        "pool = { calls = 10 }",
        "sluice.toml:3:8: `pool` means nothing where every event has its own instance \
         (hint: add `isolation = \"pooled\"`, or leave `pool` out)",
    );
    refuses_plugin(
        "isolation = \"pooled\"\npool = { calls = 0 }",
        "sluice.toml:4:18: 0 is not from 1 to 1000000",
    );
    refuses_plugin(
        "isolation = \"pooled\"\npool = { memory = \"1KiB\" }",
        "sluice.toml:4:19: `1KiB` is below the limit of 64KiB",
    );
    refuses_plugin(
        "isolation = \"pool\"",
        "sluice.toml:3:13: `pool` is not one of the values known here (hint: did you mean `pooled`?)",
    );
}

#[test]
fn only_what_a_call_can_wait_for_needs_a_limit_on_waiting() {
    let hint = "(hint: leave `wait` out, or add `grants`)";
    warns(
        &with_plugin("limits = { wait = \"1s\" }", "pipeline = [{ plugin = \"p\" }]"),
        &[&format!("sluice.toml:3:19: nothing is granted to the plugin that a call could wait for {hint}")],
    );
    warns(
        &with_plugin(
            "isolation = \"pooled\"\npool = { memory = \"64MiB\" }",
            "pipeline = [{ plugin = \"p\" }]",
        ),
        &[
            "sluice.toml:4:19: the plugin's memory ends at its limit of 32MiB before (hint: write less, or raise `limits.memory`)",
        ],
    );
}

#[test]
fn grants_name_servers_and_nothing_more() {
    let http =
        |grant: &str, expected: &str| refuses_plugin(&format!("grants = {{ http = [{grant}] }}"), expected);
    http(
        "\"https://api.example.com\"",
        "sluice.toml:3:20: `https://api.example.com` is a URL, not a host (hint: write \"api.example.com\"; \
         for private addresses `{ url = \"https://api.example.com\", private = true }`)",
    );
    http(
        "{ url = \"http://users.internal/api\", private = true }",
        "sluice.toml:3:28: a grant is for all of a server, and the URL says more than that \
         (hint: write scheme, host and port only, such as \"http://users.internal:8080\")",
    );
    http("\"a.test\", { url = \"https://a.test\" }", "sluice.toml:3:30: `https://a.test` is granted twice");
    http(
        "{ private = true }",
        "sluice.toml:3:20: missing key `url` (hint: `url` is the server, such as \"http://users.internal:8080\")",
    );
    refuses_plugin("grants = { kv = \"1B\" }", "sluice.toml:3:17: `1B` is below the limit of 1KiB");
}

#[test]
fn what_is_private_is_granted_as_such() {
    let http = |url: &str, expected: &str| {
        refuses_plugin(&format!("grants = {{ http = [{{ url = \"{url}\" }}] }}"), expected)
    };
    http(
        "http://a.test",
        "sluice.toml:3:28: over the public internet, plain http can be read and changed on its way \
         (hint: write `https`, or add `private = true` if the server is in a network of yours)",
    );
    http(
        "https://10.0.0.1",
        "sluice.toml:3:28: `10.0.0.1` is not at the public internet \
         (hint: add `private = true` if the plugin is to reach it)",
    );
}

#[test]
fn a_candidate_sees_a_share_or_copies() {
    let canary = |keys: &str, expected: &str| {
        refuses_plugin(&format!("canary = {{ file = \"candidate.wasm\"{keys} }}"), expected);
    };
    canary(
        "",
        "sluice.toml:3:10: nothing says which events the candidate sees \
         (hint: add `share = 0.05`, or `shadow = true` for copies of all)",
    );
    canary(
        ", share = 0.5, shadow = true",
        "sluice.toml:3:59: both `share` and `shadow` are given \
         (hint: a candidate handles events itself, or only sees copies of them)",
    );
    for share in ["1", "0.0", "-0.5", "5"] {
        let shown = share.trim_end_matches(".0");
        canary(
            &format!(", share = {share}"),
            &format!(
                "sluice.toml:3:45: {shown} is not between 0 and 1 \
                 (hint: write a part of one, such as 0.05 for one event in twenty)"
            ),
        );
    }
    refuses_plugin(
        "canary = { file = \"filter.wasm\", shadow = true }",
        "sluice.toml:3:19: the candidate is the file that the plugin has already \
         (hint: name another file, or leave `canary` out)",
    );
    refuses_plugin(
        "canary = { file = \"gone.wasm\", shadow = true }",
        "sluice.toml:3:19: cannot read candidate `gone.wasm`: No such file or directory (os error 2)",
    );
}

#[test]
fn steps_at_the_edge_come_first() {
    refuses(
        &with_plugin("", "pipeline = [{ plugin = \"p\" }, { plugin = \"p\", at = \"edge\" }]"),
        r#"
error: a step at the edge runs before all others, and stands behind one
  --> sluice.toml:11:52
   |
11 | pipeline = [{ plugin = "p" }, { plugin = "p", at = "edge" }]
   |             ----------------                       ^^^^^^
   |             |
   |             this one runs behind the journal
   |
   = hint: put the steps with `at = "edge"` first
"#,
    );
}

#[test]
fn nobody_waits_at_the_edge_for_what_is_granted() {
    let edge = "pipeline = [{ plugin = \"p\", at = \"edge\" }]";
    refuses_line(
        &with_plugin("grants = { kv = \"1MiB\" }", edge),
        "sluice.toml:11:24: plugin `p` has grants, which it may wait for, and at the edge a sender waits for the \
         plugin (hint: leave `grants` out of `[plugins.p]`, or run the step behind the journal)",
    );
}

#[test]
fn a_canary_is_for_steps_behind_the_journal() {
    for (route, place, does) in [
        ("pipeline = [{ plugin = \"p\", at = \"edge\" }]", "11:24", "runs at the edge"),
        ("batch = { plugin = \"p\" }", "11:20", "makes batches"),
    ] {
        refuses_line(
            &with_plugin("canary = { file = \"candidate.wasm\", shadow = true }", route),
            &format!(
                "sluice.toml:{place}: plugin `p` {does}, and its `canary` would see nothing: only steps behind the \
                 journal have one (hint: leave `canary` out of `[plugins.p]`, and try it with `sluice plugin test`)"
            ),
        );
    }
}

#[test]
fn a_batch_is_of_several_and_ends() {
    let batch = |keys: &str, expected: &str| {
        refuses_line(&with_plugin("", &format!("batch = {{ plugin = \"p\", {keys} }}")), expected);
    };
    batch("events = 1", "sluice.toml:11:34: 1 is not from 2 to 1000");
    batch("bytes = \"17MiB\"", "sluice.toml:11:33: `17MiB` is above the limit of 16MiB");
    batch("wait = \"0s\"", "sluice.toml:11:32: `0s` is below the limit of 1ms");
    batch("wait = \"61m\"", "sluice.toml:11:32: `61m` is above the limit of 1h");
    refuses_line(
        &with_plugin("", "pipeline = [{ plugin = \"p\" }]\nbatch = { plugin = \"q\" }"),
        "sluice.toml:12:20: route `r` names plugin `q`, which is not defined (hint: did you mean `p`?)",
    );
}

/// [`with_plugin`] whose route is proven by `p`, with these keys beside it.
fn proven_with(keys: &str) -> String {
    with_plugin("", "")
        .replace("preset = \"github\", secrets = [{ env = \"A\" }]", &format!("plugin = \"p\"{keys}"))
}

#[test]
fn a_plugin_that_proves_takes_no_keys_of_schemes() {
    warns(&proven_with(""), &[]);
    let hint = "(hint: a plugin has `config`, `secrets` and `url`; keep one of the two)";
    for (key, value) in [
        ("preset", "\"github\""),
        ("scheme", "{ family = \"none\" }"),
        ("public_keys", "[\"x\"]"),
        ("jwks", "\"{}\""),
        ("vars", "{ a = \"b\" }"),
    ] {
        refuses_line(
            &proven_with(&format!(", {key} = {value}")),
            &format!("sluice.toml:9:{}: both `plugin` and `{key}` are given {hint}", 29 + key.len()),
        );
    }
    refuses_change(
        "preset = \"github\"",
        "preset = \"github\", config = { a = 1 }",
        "sluice.toml:7:40: `config` means nothing here: it is for a plugin that verifies \
         (hint: values of a scheme are given as `vars`)",
    );
    refuses_line(
        &proven_with(", url = \"hooks\""),
        "sluice.toml:9:32: `hooks` is not a URL such as `https://hooks.example.com`",
    );
    refuses_line(
        &proven_with("").replace("\"p\"", "\"q\""),
        "sluice.toml:9:21: route `r` names plugin `q`, which is not defined (hint: did you mean `p`?)",
    );
}

#[test]
fn a_plugin_that_proves_or_batches_is_used() {
    warns(&proven_with(""), &[]);
    warns(&with_plugin("", "batch = { plugin = \"p\" }"), &[]);
}

// What plugins find fault with, once they are loaded.

const USED: &str = r#"
pipeline = [{ plugin = "p", config = { acts = ["opened"], rules = [{ nme = 1 }] } }, { plugin = "p" }]
batch = { plugin = "p", config = { a = { b = 1 } } }
"#;

#[track_caller]
fn shows(about: About, expected: &str) {
    let bench = Bench::new();
    let mistake = Mistake { message: "wrong".to_owned(), about };
    // What several routes run into is shown once.
    let report = bench.config(&with_plugin("", USED)).report([mistake.clone(), mistake]);
    let lines: Vec<_> = report.lines().map(|line| bench.relative(&line)).collect();
    assert_eq!(lines, [expected]);
}

fn config_of(used: Use, path: Option<&str>) -> About {
    About::Config { route: "r".into(), used, path: path.map(str::to_owned) }
}

#[test]
fn what_a_plugin_refuses_is_shown_where_it_is_written() {
    shows(config_of(Use::Step(0), Some("acts")), "sluice.toml:12:40: wrong");
    shows(config_of(Use::Step(0), Some("rules[0].nme")), "sluice.toml:12:70: wrong");
    shows(config_of(Use::Step(0), Some("missing")), "sluice.toml:12:38: wrong");
    shows(config_of(Use::Step(0), None), "sluice.toml:12:38: wrong");
    shows(config_of(Use::Batch, Some("a.b")), "sluice.toml:13:42: wrong");
}

#[test]
fn a_plugin_without_config_is_shown_where_it_is_used_and_a_bad_file_where_it_is_named() {
    shows(config_of(Use::Step(1), Some("acts")), "sluice.toml:12:97: wrong");
    shows(About::File("p".into()), "sluice.toml:2:8: wrong");
    shows(About::Whole, "wrong");
}

#[test]
fn what_a_proving_plugin_refuses_is_shown_where_it_is_written() {
    let bench = Bench::new();
    let config = bench.config(&proven_with(", config = { a = 1 }"));
    let mistake = Mistake { message: "wrong".to_owned(), about: config_of(Use::Verify, Some("a")) };
    let shown = bench.relative(&config.report([mistake]).to_string());
    assert!(shown.contains("sluice.toml:9:37"), "{shown}");
}

#[test]
fn what_is_not_defined_is_answered_with_what_is() {
    refuses_change(
        "deliver = [\"a\"]",
        "deliver = [\"tracker\"]",
        "sluice.toml:8:12: route `r` names destination `tracker`, which is not defined \
         (hint: defined destinations are `a`)",
    );
    refuses_line(
        &format!("{LEAST}pipeline = [{{ plugin = \"p\" }}]"),
        "sluice.toml:9:24: route `r` names plugin `p`, which is not defined \
         (hint: no plugin is defined yet: add `[plugins.p]`)",
    );
}

#[test]
fn a_wrong_definition_is_not_a_wrong_reference_too() {
    refuses_change(
        "http://127.0.0.1:1/",
        "ftp://127.0.0.1:1/",
        "sluice.toml:3:7: cannot deliver over `ftp` \
         (hint: write a whole URL, such as \"https://example.com/hooks\")",
    );
}

#[test]
fn a_destination_is_named_once_by_a_route() {
    refuses_change(
        "deliver = [\"a\"]",
        "deliver = [\"a\", \"a\"]",
        "sluice.toml:8:17: route `r` names destination `a` twice (hint: a destination gets each message once)",
    );
}

/// [`LEAST`] with one more route, called `s`, of these keys.
fn two_routes(keys: &str) -> String {
    let verify = "verify = { preset = \"github\", secrets = [{ env = \"A\" }] }";
    format!("{LEAST}[[routes]]\nname = \"s\"\n{verify}\ndeliver = [\"a\"]\n{keys}\n")
}

#[test]
fn routes_that_match_the_same_requests_are_refused() {
    let hint = "(hint: give one of them another path, host or method)";
    refuses_line(
        &two_routes("path = \"/r\"\nmethods = [\"PUT\", \"POST\"]"),
        &format!("sluice.toml:13:8: route `s` matches what route `r` matches: POST /r {hint}"),
    );
    let text = two_routes("path = \"/{a}\"\nhost = \"B.com\"");
    refuses_line(
        &text.replace("path = \"/r\"", "path = \"/{b}\"\nhost = \"b.com\""),
        &format!("sluice.toml:14:8: route `s` matches what route `r` matches: POST b.com/{{a}} {hint}"),
    );
}

#[test]
fn methods_of_handshakes_count_where_routes_match_the_same_requests() {
    let text = two_routes("path = \"/r\"\nmethods = [\"GET\"]");
    let text = text.replacen("preset = \"github\"", "preset = \"dropbox\"", 1);
    refuses_line(
        &text,
        "sluice.toml:13:8: route `s` matches what route `r` matches: GET /r \
         (hint: give one of them another path, host or method)",
    );
}

#[test]
fn routes_that_differ_in_host_or_method_live_side_by_side() {
    for keys in ["path = \"/r\"\nhost = \"a.com\"", "path = \"/r\"\nmethods = [\"PUT\"]", "path = \"/{r}\""] {
        warns(&two_routes(keys), &[]);
    }
}

#[test]
fn a_route_that_others_leave_nothing_to_is_warned_about() {
    let third = two_routes("path = \"/x/{a}\"").replace("path = \"/r\"", "path = \"/x/*\"")
        + "[[routes]]\nname = \"t\"\npath = \"/x/{b}/*\"\nverify = \"none\"\ndeliver = [\"a\"]\n";
    warns(
        &third,
        &[
            "sluice.toml:6:8: route `r` never matches: route `s` and route `t` are more specific and leave nothing to it",
            "sluice.toml:17:10: route `t` takes in what anybody sends (hint: verify the sender with a `preset` or a `scheme`)",
        ],
    );
}

#[test]
fn what_works_but_is_hardly_meant_is_warned_about() {
    let text = "[plugins.p]\nfile = \"filter.wasm\"\n[[routes]]\nname = \"r\"\npath = \"/\"\nmax_body = \"100MiB\"\n\
                verify = { preset = \"github\", secrets = [\"hunter2\"] }\n";
    warns(
        text,
        &[
            "sluice.toml:1:10: plugin `p` is not used by any route",
            "sluice.toml:3:1: route `r` has no destination: every event ends there (hint: name one in `deliver`)",
            "sluice.toml:6:12: bodies are held in memory, and these may be larger than 64MiB (hint: keep `max_body` near what the provider sends)",
            "sluice.toml:7:42: a secret is written in the config file (hint: keep it elsewhere: `{ env = \"NAME\" }` or `{ file = \"PATH\" }`)",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let report = Config::load(Path::new("/nowhere/sluice.toml"), &ProcessEnv).unwrap_err();
    let expected = "error: failed to read `/nowhere/sluice.toml`: No such file or directory (os error 2)\n |\n = hint: `--config FILE` names another file";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn colours_are_only_shown_when_asked_for() {
    let report = Bench::new().refused("[sever]");
    assert!(report.render(true).contains('\u{1b}'));
    assert!(!report.render(false).contains('\u{1b}'));
}

// What only a restart can change.

#[test]
fn what_needs_a_restart_is_named_by_key() {
    let bench = Bench::new();
    let (old, new) = (bench.config(&full()), bench.config(LEAST));
    let keys =
        ["server.listen", "server.tls", "admin.listen", "journal.path", "journal.retain", "journal.max_size"];
    assert_eq!(old.restart_needed(&new), keys);
    assert_eq!(old.restart_needed(&bench.config(&full())), [""; 0]);
}

#[test]
fn a_new_certificate_or_timeout_needs_no_restart() {
    let bench = Bench::new();
    let changed = full().replace("cert = \"cert.pem\"", "cert = \"secret\"").replace("\"5s\"", "\"6s\"");
    assert_eq!(bench.config(&full()).restart_needed(&bench.config(&changed)), [""; 0]);
}

// The schema.

#[test]
fn the_schema_describes_every_key() {
    let schema = Config::json_schema();
    let tables = schema["$defs"].as_object().unwrap().iter().map(|(name, table)| (name.as_str(), table));
    let mut keys = 0;
    for (table, definition) in tables.chain([("root", &schema)]) {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            let description = property["description"].as_str();
            assert!(description.is_some_and(|text| !text.is_empty()), "{table}.{key}");
            keys += 1;
        }
    }
    assert!(keys > 40, "{keys}");
}

#[test]
fn the_schema_knows_every_key_and_no_other() {
    let schema = Config::json_schema();
    // As an editor sees it: dates are strings.
    let dates_as_text = full().replace("2026-12-31T00:00:00Z", "\"\"").replace("2026-01-01", "\"\"");
    let value = serde_json::to_value(toml::from_str::<toml::Table>(&dates_as_text).unwrap()).unwrap();
    assert_eq!(unknown(&schema, &schema, &value), None);
    let value: Value = serde_json::json!({ "routes": [{ "nmae": "x" }] });
    assert_eq!(unknown(&schema, &schema, &value), Some("nmae".to_owned()));
}

/// The first key of `value` that `schema` has no place for.
fn unknown(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return unknown(root, root.pointer(name.trim_start_matches('#')).unwrap(), value);
    }
    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let mut tried = choices.iter().map(|choice| unknown(root, choice, value));
        return tried.by_ref().find(Option::is_none).unwrap_or_else(|| Some(format!("{value}")));
    }
    let is_open = schema["type"].is_null();
    match value {
        _ if is_open => None,
        Value::Object(entries) => entries.iter().find_map(|(key, value)| {
            let known = schema["properties"].get(key).or_else(|| {
                schema["additionalProperties"].as_object().map(|_| &schema["additionalProperties"])
            });
            known.map_or(Some(key.clone()), |schema| unknown(root, schema, value))
        }),
        Value::Array(items) => items.iter().find_map(|item| unknown(root, &schema["items"], item)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => None,
    }
}

// No text is too strange.

/// What a broken config is made of.
fn shards() -> impl Strategy<Value = String> {
    let shard = "\\PC{0,3}|\\[\\[?routes\\]\\]?\n|\\[server\\]\n|verify = |secrets = |listen = |\"[^\"]{0,4}\"|[0-9]{1,4}|\\{|\\}|\\[|\\]|,|=|\n|\t|é|\u{1F980}";
    prop::collection::vec(shard, 0..12).prop_map(|shards| shards.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_is_answered_with_at_least_one_error(text in shards()) {
        let report = Config::parse(&text, Path::new("/nowhere/x.toml"), &HashMap::new()).unwrap_err();
        prop_assert!(report.errors() > 0);
        prop_assert_eq!(report.lines().count(), report.errors());
        prop_assert!(!report.to_string().is_empty());
    }

    #[test]
    fn a_damaged_config_is_read_or_refused(at in 0.0..1.0, len in 0..20_usize, with in shards()) {
        let full = full();
        let at = (full.len() as f64 * at) as usize;
        let end = (at + len).min(full.len());
        let text = format!("{}{with}{}", &full[..at], &full[end..]);
        match Bench::new().parse(&text) {
            Ok((_, warnings)) => warnings.iter().for_each(|warning| assert!(!warning.to_string().is_empty())),
            Err(report) => prop_assert!(report.errors() > 0 && !report.to_string().is_empty()),
        }
    }
}

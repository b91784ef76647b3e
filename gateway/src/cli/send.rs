//! `sluice send`: signs a test webhook the way a provider does, and posts it.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use reqwest::{Url, redirect};
use serde::de::IgnoredAny;

use super::{known::known, verify::explain::parse_var};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    event::EventId,
    verify::{
        PublicUrl, Signer, Unverified, Vars,
        scheme::{Preset, Scheme},
    },
};

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Signs a test webhook the way a provider does, posts it and prints the answer.
#[derive(clap::Args, Debug)]
pub struct SendArgs {
    /// The provider whose webhook it is to be
    #[arg(long, value_name = "NAME", value_parser = known)]
    preset: &'static Preset,
    #[command(flatten)]
    secret: SecretArgs,
    /// The body: a file, or `-` for standard input
    #[arg(long)]
    file: PathBuf,
    /// A header to send along, as `name: value`; may be repeated
    #[arg(long = "header", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A value that the scheme needs, as `name=value`; may be repeated, also for one name
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_var)]
    vars: Vec<(String, String)>,
    /// The URL that the provider would know, for schemes that sign it [default: where it is posted to]
    #[arg(long = "url", value_name = "URL")]
    public_url: Option<PublicUrl>,
    /// The event type, for providers that send it in a header
    #[arg(long)]
    event_type: Option<String>,
    /// Where to post it
    #[arg(value_name = "TARGET")]
    target: Url,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct SecretArgs {
    /// The secret to sign with; other users of this machine can see it in the list of processes
    #[arg(long)]
    secret: Option<String>,
    /// The environment variable that holds the secret
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
}

impl std::fmt::Debug for SecretArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretArgs").field("secret_env", &self.secret_env).finish_non_exhaustive()
    }
}

/// Sends the webhook and prints status and answer on stdout. Success means that the answer was a 2xx; 2 that it
/// cannot be signed with what is given.
///
/// # Errors
/// When it cannot be made or sent.
pub async fn send(args: SendArgs) -> anyhow::Result<ExitCode> {
    let mut request = unsigned(&args, SystemClock.now())?;
    let secret = args.secret.read()?;
    if let Err(unsignable) = sign(&args, &secret, &mut request) {
        eprintln!("error: preset `{}`: {unsignable:#}", args.preset.name);
        return Ok(ExitCode::from(2));
    }
    let (status, answer) = post(&args.target, request).await?;
    let mut out = io::stdout().lock();
    writeln!(out, "{status}")?;
    if !answer.is_empty() {
        writeln!(out, "{}", String::from_utf8_lossy(&answer))?;
    }
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unsigned(args: &SendArgs, now: Timestamp) -> anyhow::Result<Unverified> {
    let body = read_body(&args.file)?;
    Ok(Unverified {
        id: EventId::generate(),
        route: "".into(),
        received_at: now,
        method: Method::POST,
        path: args.target.path().to_owned(),
        query: args.target.query().map(str::to_owned),
        params: Vec::new(),
        headers: headers(args, &body)?,
        body,
    })
}

fn sign(args: &SendArgs, secret: &str, request: &mut Unverified) -> anyhow::Result<()> {
    let scheme = &args.preset.scheme;
    let signer = Signer::new(scheme, secret.as_bytes())?;
    let origin = || args.target.origin().ascii_serialization().parse().ok();
    let url = args.public_url.clone().or_else(origin);
    signer.with_vars(vars(args, scheme)?).with_url(url).sign(request, args.event_type.as_deref())?;
    Ok(())
}

/// The values given, and the scheme's own defaults.
fn vars(args: &SendArgs, scheme: &Scheme) -> anyhow::Result<Vars> {
    let known = &scheme.common.vars;
    let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in &args.vars {
        values.entry(name.clone()).or_default().push(value.clone());
    }
    for (name, var) in known {
        let given = values.entry(name.clone()).or_insert_with(|| var.default.clone());
        if given.is_empty() && !var.optional {
            bail!("it needs `{name}` ({}): give --var {name}=…", var.about);
        }
    }
    Ok(Vars::new(values))
}

impl SecretArgs {
    fn read(&self) -> anyhow::Result<String> {
        match (&self.secret, &self.secret_env) {
            (Some(secret), _) => Ok(secret.clone()),
            (None, Some(name)) => {
                env::var(name).with_context(|| format!("failed to read the secret from `{name}`"))
            }
            (None, None) => bail!("no secret: give `--secret` or `--secret-env`"),
        }
    }
}

fn read_body(file: &Path) -> anyhow::Result<Bytes> {
    let mut body = Vec::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().read_to_end(&mut body).map(drop),
        _ => std::fs::read(file).map(|bytes| body = bytes),
    };
    read.with_context(|| format!("failed to read `{}`", file.display()))?;
    Ok(body.into())
}

fn headers(args: &SendArgs, body: &[u8]) -> anyhow::Result<HeaderMap> {
    let json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let content_type = if json { "application/json" } else { "application/octet-stream" };
    let host = args.target.host_str().with_context(|| format!("`{}` names no host", args.target))?;
    let host = args.target.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));

    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("sluice-send/", env!("CARGO_PKG_VERSION"))));
    headers.insert(HOST, host.parse()?);
    for (name, value) in &args.headers {
        headers.insert(name, value.clone());
    }
    Ok(headers)
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is not a header name"))?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is not a header value"))?;
    Ok((name, value))
}

/// Posts the request to the target, with the query that it was signed with.
async fn post(target: &Url, request: Unverified) -> anyhow::Result<(StatusCode, Bytes)> {
    let mut url = target.clone();
    url.set_query(request.query.as_deref());
    // Fails only if there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).build()?;
    let sending = client.post(url.clone()).headers(request.headers).body(request.body).send();
    let response = sending.await.with_context(|| format!("failed to post to `{url}`"))?;
    let status = response.status();
    let answer = response.bytes().await.context("failed to read the answer")?;
    Ok((status, answer))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        ingest::tests::{Bench, route},
        listener::tests::Served,
        verify::tests::by_preset,
    };

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SendArgs,
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn args(list: &[&str]) -> Result<SendArgs, clap::Error> {
        Cli::try_parse_from([&["send"], list].concat()).map(|cli| cli.args)
    }

    /// What sending to a route with this secret ends with.
    async fn outcome(name: &str, secret: &str) -> (ExitCode, Bench) {
        let mut in_route = route("in", "/in");
        in_route.verify = by_preset(name, &[SECRET]);
        let bench = Bench::new(vec![in_route]).now(SystemClock.now());
        let served = Served::start(&bench, None).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, r#"{"id":"e1","event_id":"e1","type":"push"}"#).unwrap();
        let (url, file) = (format!("http://{}/in", served.addr), file.path().to_str().unwrap());
        let list = [
            "--preset",
            name,
            "--secret",
            secret,
            "--file",
            file,
            "--header",
            "X-A: b",
            "--event-type",
            "push",
            &url,
        ];
        let code = send(args(&list).unwrap()).await.unwrap();
        (code, bench)
    }

    #[tokio::test]
    async fn what_is_sent_is_let_in() {
        // Every preset is tried where requests are signed.
        for name in ["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe"] {
            let (code, bench) = outcome(name, SECRET).await;
            assert_eq!(code, ExitCode::SUCCESS, "{name}");
            let events = bench.journal.events();
            assert_eq!(events[0].event_type.as_deref(), Some("push"), "{name}");
            assert_eq!(events[0].headers.get("x-a").unwrap(), "b");
            assert_eq!(events[0].headers.get("content-type").unwrap(), "application/json");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_2xx_is_a_failure() {
        let (code, bench) = outcome("github", "another").await;
        assert_eq!(code, ExitCode::FAILURE);
        assert!(bench.journal.events().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_signed_is_bad_usage() {
        for (name, secret) in [("paypal", SECRET), ("github", ""), ("svix", "whsec_?"), ("pusher", SECRET)] {
            let list = ["--preset", name, "--secret", secret, "--file", "Cargo.toml", "http://127.0.0.1:1/"];
            let code = send(args(&list).unwrap()).await.unwrap();
            assert_eq!(code, ExitCode::from(2), "{name}");
        }
    }

    #[test]
    fn usage_mistakes_are_refused() {
        let url = "http://localhost/in";
        assert!(args(&["--preset", "github", "--file", "x", url]).is_err(), "no secret");
        assert!(args(&["--preset", "acme", "--secret", "s", "--file", "x", url]).is_err());
        let both = ["--preset", "github", "--secret", "s", "--secret-env", "S", "--file", "x", url];
        assert!(args(&both).is_err());
        let header = ["--preset", "github", "--secret", "s", "--file", "x", "--header", "novalue", url];
        assert!(args(&header).is_err());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let args = args(&["--preset", "github", "--secret", "s3cret", "--file", "x", "http://h/"]).unwrap();
        assert!(!format!("{args:?}").contains("s3cret"));
    }
}

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use sluice_tests::{
    client::Answer,
    gateway::{Gateway, Setup},
    webhook::{Webhook, unix_now},
};

const SECRET: &str = "a-secret-that-only-tests-know";

/// A route at `/in/NAME` for each of these; `$NAME` is its secret.
const ROUTES: [(&str, &str); 19] = [
    ("x", r#"preset = "x-twitter", secrets = ["Convoy"]"#),
    ("smartcar", r#"preset = "smartcar", secrets = ["amt"]"#),
    (
        "braintree",
        r#"preset = "braintree", secrets = ["integration_private_key"], vars = { public_key_id = "pub" }"#,
    ),
    ("slack", r#"preset = "slack", secrets = ["$SECRET"]"#),
    ("meta", r#"preset = "meta", secrets = ["meatyhamhock"]"#),
    ("twitch", r#"preset = "twitch", secrets = ["$SECRET"]"#),
    ("cloudevents", r#"preset = "cloudevents", secrets = ["$SECRET"]"#),
    ("graph", r#"preset = "microsoft-graph", secrets = ["$SECRET"]"#),
    ("dropbox", r#"preset = "dropbox", secrets = ["$SECRET"]"#),
    ("asana", r#"preset = "asana""#),
    ("monday", r#"preset = "monday", secrets = ["$SECRET"]"#),
    ("zoom", r#"preset = "zoom", secrets = ["$SECRET"]"#),
    ("nylas", r#"preset = "nylas", secrets = ["$SECRET"]"#),
    ("strava", r#"preset = "strava", vars = { verify_token = "STRAVA" }"#),
    ("xero", r#"preset = "xero", secrets = ["$SECRET"]"#),
    ("trello", r#"preset = "trello", secrets = ["$SECRET"], url = "https://gateway.test""#),
    ("mandrill", r#"preset = "mandrill", secrets = ["$SECRET"], url = "https://gateway.test""#),
    ("line", r#"preset = "line", secrets = ["$SECRET"]"#),
    ("fitbit", r#"preset = "fitbit", secrets = ["correctVerificationCode"]"#),
];

/// An entry of the fixture.
#[derive(Deserialize)]
struct Handshake {
    id: String,
    request: Asked,
    response: Expected,
}

#[derive(Deserialize)]
struct Asked {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Deserialize)]
struct Expected {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Handshake {
    fn webhook(&self) -> Webhook {
        let path = self.request.url.strip_prefix("https://gateway.test").unwrap();
        let mut webhook = Webhook::plain(path, self.request.body.clone())
            .method(self.request.method.parse::<Method>().unwrap());
        for (name, value) in &self.request.headers {
            webhook = webhook.header(name, value);
        }
        webhook
    }

    #[track_caller]
    fn check(&self, answer: &Answer) {
        let Self { id, response, .. } = self;
        assert_eq!(answer.status, response.status, "{id}: {}", answer.text());
        for (name, value) in &response.headers {
            assert_eq!(answer.header(name).split(';').next(), Some(value.as_str()), "{id}: {name}");
        }
        assert!(!answer.header("content-type").contains("html"), "{id}");
        match serde_json::from_str::<Value>(&response.body) {
            // The secret behind the published answer is not public.
            Ok(_) if id == "zoom-shape" => {
                let signed = hex::encode(mac("qgg8vlvZRS6UYooatFL8Aw"));
                assert_eq!(answer.json()["encryptedToken"], signed);
            }
            Ok(Value::Object(expected)) => assert_eq!(answer.json(), Value::Object(expected), "{id}"),
            _ => assert_eq!(answer.text(), response.body, "{id}"),
        }
    }
}

#[tokio::test]
async fn providers_get_the_answers_that_they_expect() {
    let gateway = started().await;
    let handshakes: Vec<Handshake> = serde_json::from_str(FIXTURE).unwrap();
    let names = ROUTES.map(|(name, _)| format!("/in/{name}"));
    let (mut asked, mut signed) = (0, 0);
    for handshake in &handshakes {
        let webhook = handshake.webhook();
        if !names.iter().any(|name| *name == webhook.path.split('?').next().unwrap()) {
            continue;
        }
        let answer = match sign(&handshake.id, webhook.clone()) {
            Some(proven) => {
                gateway.send(webhook).await.expect(401);
                signed += 1;
                gateway.send(proven).await
            }
            None => gateway.send(webhook).await,
        };
        handshake.check(&answer);
        asked += 1;
    }
    assert_eq!((asked, signed), (19, 4));
    let events = gateway.setup().run(&["events", "list", "--admin", gateway.admin().url()]);
    assert!(String::from_utf8_lossy(&events.stdout).contains("no events"), "{events:?}");
}

#[tokio::test]
async fn a_learned_secret_outlives_the_process() {
    let gateway = started().await;
    let hand_over = |secret: &str| Webhook::plain("/in/asana", "{}").header("x-hook-secret", secret);
    let event = || Webhook::plain("/in/asana", "{}").header("x-hook-signature", &hex::encode(mac("{}")));
    gateway.send(event()).await.expect(503);
    let answer = gateway.send(hand_over(SECRET)).await.expect(200);
    assert_eq!(answer.header("x-hook-secret"), SECRET);
    gateway.send(event()).await.expect(200);
    gateway.send(hand_over("another-secret-from-elsewhere")).await.expect(403);

    let file = gateway.setup().path("journal/learned-secrets.json");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(gateway.logs().iter().all(|line| !line.contains(SECRET)));
    let gateway = gateway.crash_and_restart().await;
    gateway.send(event()).await.expect(200);
    gateway.admin().post("/reload").await.expect(200);
    gateway.send(event()).await.expect(200);

    verify(&gateway, &["learn", "asana", "--for", "5m"]);
    gateway.send(hand_over("another-secret-from-elsewhere")).await.expect(200);
    gateway.send(event()).await.expect(200);
    assert_eq!(verify(&gateway, &["forget", "asana"]), "2 secrets are forgotten\n");
    gateway.send(event()).await.expect(503);
}

#[tokio::test]
async fn answers_are_what_the_route_says() {
    let gateway = Setup::new()
        .config(
            "[[routes]]\nname = \"open\"\npath = \"/open\"\nverify = \"none\"\n\
             respond = { status = 204, headers = { x-seen = \"yes\" } }\n\
             [[routes]]\nname = \"proven\"\npath = \"/github\"\n\
             verify = { preset = \"github\", secrets = [{ env = \"GITHUB_SECRET\" }] }\n\
             respond = { body = \"[accepted]\", refused = 498 }\n",
        )
        .start()
        .await;
    let answer = gateway.send(Webhook::plain("/open", "{}")).await.expect(204);
    assert_eq!((answer.header("x-seen"), answer.text().as_str()), ("yes", ""));
    assert!(!answer.header("x-request-id").is_empty());
    let hook = crate::common::hook(1);
    assert_eq!(gateway.send(hook.clone()).await.expect(202).text(), "[accepted]");
    assert_eq!(gateway.send(hook.clone()).await.expect(200).text(), "[accepted]");
    assert_eq!(gateway.send(hook.sign_github("wrong")).await.expect(498).code(), "signature_invalid");
}

const FIXTURE: &str = include_str!("../../fixtures/providers/handshakes.json");

async fn started() -> Gateway {
    let route = |(name, verify): (&str, &str)| {
        format!("[[routes]]\nname = \"{name}\"\npath = \"/in/{name}\"\nverify = {{ {verify} }}\n")
    };
    let config = ROUTES.map(route).concat();
    Setup::new().value("$SECRET", SECRET).config(&config).start().await
}

/// The request with its proof, where a handshake has one.
fn sign(id: &str, webhook: Webhook) -> Option<Webhook> {
    let body = std::str::from_utf8(&webhook.body).unwrap().to_owned();
    Some(match id {
        "slack" => {
            let now = unix_now();
            let signature = format!("v0={}", hex::encode(mac(&format!("v0:{now}:{body}"))));
            webhook
                .header("x-slack-request-timestamp", &now.to_string())
                .header("x-slack-signature", &signature)
        }
        "twitch" => {
            let now =
                humantime::format_rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_now()));
            let signature = format!("sha256={}", hex::encode(mac(&format!("once{now}{body}"))));
            webhook
                .header("twitch-eventsub-message-id", "once")
                .header("twitch-eventsub-message-timestamp", &now.to_string())
                .header("twitch-eventsub-message-signature", &signature)
        }
        "xero-itr" => webhook.header("x-xero-signature", &BASE64.encode(mac(&body))),
        "line-verify" => webhook.header("x-line-signature", &BASE64.encode(mac(&body))),
        _ => return None,
    })
}

fn mac(text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// What `sluice verify` says.
#[track_caller]
fn verify(gateway: &Gateway, args: &[&str]) -> String {
    let admin = gateway.admin().url();
    let output = gateway.setup().run(&[&["verify"], args, &["--admin", admin]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sluice_tests::{
    foreign::{Language, Packages},
    gateway::{Gateway, Setup},
    sink::{Received, Sink},
    webhook::{SIGNING_SECRET, Webhook},
};

use crate::common::{hook, inline, relay};

#[tokio::test]
async fn what_pythons_packages_sign_is_let_in_and_what_is_changed_is_not() {
    takes_in_what_is_signed_by(Language::Python).await;
}

#[tokio::test]
async fn what_nodes_packages_sign_is_let_in_and_what_is_changed_is_not() {
    takes_in_what_is_signed_by(Language::Node).await;
}

#[tokio::test]
async fn deliveries_are_accepted_by_pythons_standardwebhooks() {
    signs_for(Language::Python).await;
}

#[tokio::test]
async fn deliveries_are_accepted_by_nodes_standardwebhooks() {
    signs_for(Language::Node).await;
}

async fn takes_in_what_is_signed_by(language: Language) {
    let Some(packages) = Packages::of(language) else { return };
    let cases: Vec<Value> = serde_json::from_str(&packages.run(language.sign(), "")).unwrap();
    assert!(cases.len() > 10, "only {} requests were signed", cases.len());
    let sink = Sink::start().await;
    let gateway = Setup::new().sink(&sink).config(&config(&cases)).start().await;
    let mut wrong = Vec::new();
    for case in &cases {
        let changed = gateway.send(webhook(case, &case["tampered"])).await;
        let genuine = gateway.send(webhook(case, case)).await;
        if !(200..300).contains(&genuine.status) || !(400..500).contains(&changed.status) {
            wrong.push(format!(
                "{}: {} {}; changed: {}",
                case["path"],
                genuine.status,
                genuine.text(),
                changed.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} came out wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A route for each of them, with the keys that it was signed with.
fn config(cases: &[Value]) -> String {
    let routes = cases.iter().enumerate().map(|(number, case)| {
        let path = case["path"].as_str().unwrap().split('?').next().unwrap();
        // Two requests of one package may come by one path: only the first needs the route.
        let known = cases[..number]
            .iter()
            .any(|other| other["path"].as_str().unwrap().split('?').next() == Some(path));
        let route = format!(
            "[[routes]]\nname = \"case-{number}\"\npath = \"{path}\"\nverify = {}\ndeliver = [\"out\"]\n",
            inline(&case["verify"])
        );
        if known { String::new() } else { route }
    });
    format!("[destinations.out]\nurl = \"$SINK/in\"\n{}", routes.collect::<String>())
}

fn webhook(case: &Value, content: &Value) -> Webhook {
    let body = BASE64.decode(content["body"].as_str().unwrap()).unwrap();
    let webhook = Webhook::plain(case["path"].as_str().unwrap(), body);
    let headers = content["headers"].as_object().unwrap();
    headers.iter().fold(webhook, |webhook, (name, value)| webhook.header(name, value.as_str().unwrap()))
}

async fn signs_for(language: Language) {
    let Some(packages) = Packages::of(language) else { return };
    let sink = Sink::start().await;
    let gateway: Gateway = relay(&sink).await;
    for number in 0..2 {
        gateway.accept(hook(number)).await;
    }
    let messages: Vec<_> = sink.wait_received("/in", 2).await.iter().map(message).collect();
    let verdicts = |secret: &str| {
        packages.run(language.verify(), &json!({ "secret": secret, "messages": messages }).to_string())
    };
    assert_eq!(verdicts(SIGNING_SECRET), "accepted accepted");
    assert_eq!(verdicts("whsec_bm90IHRoZSBzZWNyZXQgdGhhdCBpdCB3YXMgc2lnbmVkIHdpdGg="), "refused refused");
}

fn message(received: &Received) -> Value {
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value =
        headers.iter().map(|name| ((*name).to_owned(), json!(received.header(name)))).collect();
    json!({"headers": headers, "body": BASE64.encode(&received.body)})
}

trait Scripts {
    fn sign(self) -> &'static str;
    fn verify(self) -> &'static str;
}

impl Scripts for Language {
    fn sign(self) -> &'static str {
        match self {
            Self::Python => "sign.py",
            Self::Node => "sign.mjs",
        }
    }

    fn verify(self) -> &'static str {
        match self {
            Self::Python => "verify.py",
            Self::Node => "verify.mjs",
        }
    }
}

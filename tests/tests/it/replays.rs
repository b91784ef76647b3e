use std::{fs, path::Path};

use serde_json::{Value, json};
use sluice_tests::{
    gateway::{Gateway, Setup, plugins_dir},
    guest,
    sink::Sink,
    webhook::Webhook,
};

/// New issues as tickets.
const TICKETS: &str = r#"
[plugins.filter]
file = "$DIR/filter.wasm"

[plugins.ticket]
file = "$PLUGINS/ticket.wasm"

[destinations.tracker]
url = "$SINK/tracker"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "filter" }, { plugin = "ticket" }]
deliver = ["tracker"]
"#;

/// With `map`, what `ticket` makes of an issue; it drops nothing.
const AS_TICKET: &str = r#"{ "body": { "repo": { "pointer": "/repository/full_name" },
    "title": { "pointer": "/issue/title" }, "url": { "pointer": "/issue/html_url" } } }"#;

async fn tickets(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).plugins().guest("filter", &guest::keeps()).config(TICKETS).start().await
}

fn issue(action: &str) -> Webhook {
    let body = json!({
        "action": action,
        "issue": { "title": "Broken", "html_url": "https://github.com/a/b/issues/7" },
        "repository": { "full_name": "a/b" },
        "installation": { "access_token": "hunter2-in-the-body" },
        "sender": { "login": "octocat", "email": "ann@mail.example" },
    });
    Webhook::github("issues", body.to_string())
}

/// `sluice plugin`, asked to talk to this gateway: its exit code and all that it said.
fn plugin(gateway: &Gateway, args: &[&str]) -> (Option<i32>, String) {
    let admin = ["--admin", gateway.admin().url()];
    let output = gateway.setup().run(&[&["plugin"], args, &admin].concat());
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.code(), said.concat())
}

/// What a replay says to programs.
#[track_caller]
fn replayed(gateway: &Gateway, code: i32, args: &[&str]) -> Value {
    let args = [&["plugin", "replay", "--route", "github", "--json", "--admin", gateway.admin().url()], args];
    let output = gateway.setup().run(&args.concat());
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn standard(name: &str) -> String {
    plugins_dir().join(format!("{name}.wasm")).display().to_string()
}

#[tokio::test]
async fn a_replay_shows_exactly_the_events_that_differ_and_delivers_none() {
    let sink = Sink::start().await;
    let gateway = tickets(&sink).await;
    let opened = gateway.accept(issue("opened")).await;
    let others = [gateway.accept(issue("closed")).await, gateway.accept(issue("labeled")).await];
    gateway.admin().wait_state(&opened, "delivered").await;
    for other in &others {
        gateway.admin().wait_state(other, "dropped").await;
    }

    let map = standard("map");
    let args = [&*map, "--plugin", "ticket", "--config", AS_TICKET, "--since", "1h"];
    let told = replayed(&gateway, 1, &args);
    assert_eq!(
        (&told["events"], &told["same"], &told["different"]),
        (&json!(3), &json!(1), &json!(2)),
        "{told}"
    );
    assert_eq!(told["kinds"], json!({ "verdict": 2 }));
    let differ: Vec<_> = told["differences"].as_array().unwrap().iter().map(|one| &one["event"]).collect();
    assert_eq!(differ, [&json!(others[1]), &json!(others[0])], "the newest first");
    assert_eq!(told["differences"][1]["current"]["reason"], "ticket: not a new issue");
    assert_eq!(told["differences"][1]["candidate"]["messages"][0]["body_json"]["title"], "Broken");

    let dropped = replayed(&gateway, 1, &[&args[..], &["--state", "dropped", "--limit", "1"]].concat());
    assert_eq!((&dropped["events"], &dropped["different"]), (&json!(1), &json!(1)));
    let (code, said) =
        plugin(&gateway, &[&["replay", "--route", "github", "--show", "1"], &args[..]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("different {}: verdict", others[1])), "{said}");
    assert!(said.contains("1 more differs") && said.contains("1 same, 2 different (verdict 2)"), "{said}");

    assert_eq!(sink.received("/tracker").len(), 1, "only what the gateway itself delivered");
    assert_eq!(gateway.admin().wait_state(&opened, "delivered").await["trail"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_same_plugin_makes_the_same_and_one_that_traps_is_told() {
    let sink = Sink::start().await;
    let gateway = tickets(&sink).await;
    gateway.accept(issue("opened")).await;
    let told = replayed(&gateway, 0, &[&standard("ticket")]);
    assert_eq!(
        (&told["plugin"], &told["same"], &told["different"]),
        (&json!("ticket"), &json!(1), &json!(0))
    );

    fs::write(gateway.setup().path("new.wasm"), guest::traps()).unwrap();
    let told = replayed(&gateway, 1, &["new.wasm"]);
    assert_eq!(told["plugin"], "filter", "the only one of the candidate's kind");
    assert_eq!(
        (&told["current"]["failures"], &told["candidate"]["failures"]),
        (&json!({}), &json!({ "trap": 1 }))
    );
    assert_eq!(told["differences"][0]["candidate"]["verdict"], "retry");
}

#[tokio::test]
async fn a_replay_that_cannot_be_trusted_is_refused() {
    let sink = Sink::start().await;
    let gateway = tickets(&sink).await;
    let refused = |args: &[&str], why: &str| {
        let (code, said) = plugin(&gateway, &[&["replay"], args].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "`{why}` is missing from\n{said}");
    };
    let ticket = standard("ticket");
    refused(&[&ticket, "--route", "none"], "no route `none`");
    refused(&[&ticket, "--route", "github"], "nothing was compared");
    gateway.accept(issue("opened")).await;
    refused(&["none.wasm", "--route", "github"], "failed to read `none.wasm`");
    refused(&[&ticket, "--route", "github", "--plugin", "slack"], "runs `filter`, `ticket`");
    refused(&[&ticket, "--route", "github", "--since", "noon"], "`noon`");

    // Not what the gateway runs: it refuses to load it.
    fs::write(gateway.setup().path("filter.wasm"), "no wasm").unwrap();
    refused(&[&ticket, "--route", "github"], "is not the file that the gateway has loaded as `filter`");
    fs::write(gateway.setup().path("kept.wasm"), guest::keeps()).unwrap();
    let told = replayed(&gateway, 0, &[&ticket, "--current", "filter=kept.wasm"]);
    assert_eq!(told["same"], 1);
}

#[tokio::test]
async fn a_recorded_event_is_a_case_that_passes_at_once() {
    let sink = Sink::start().await;
    let gateway = tickets(&sink).await;
    let webhook =
        issue("opened").header("x-api-key", "hunter2-in-a-header").header("x-mine", "hunter2-of-mine");
    let id = gateway.accept(webhook).await;
    let ticket = standard("ticket");
    let masks = ["--mask", "/sender/login", "--mask-header", "x-mine", "--mask-emails"];
    let args = [&["record", &*id, "--plugin", &*ticket, "--into", "cases/opened"], &masks[..]].concat();
    let (code, said) = plugin(&gateway, &args);
    assert_eq!(code, Some(0), "{said}");
    for place in [
        "`x-api-key`",
        "`x-mine`",
        "`/installation/access_token`",
        "`/sender/login`",
        "`x-hub-signature-256`",
    ] {
        assert!(said.contains(place), "`{place}` is missing from\n{said}");
    }

    let case = gateway.setup().path("cases/opened");
    let event: Value = read(&case.join("event.json"));
    assert_eq!((&event["event_type"], &event["route"]), (&json!("issues"), &json!("github")));
    assert_eq!(event["body_json"]["issue"]["title"], "Broken");
    assert_eq!(event["body_json"]["sender"], json!({ "login": "xxxxxxxx", "email": "masked@example.com" }));
    assert_eq!(read(&case.join("expected.json"))["verdict"], "messages");
    for file in fs::read_dir(&case).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(
            !text.contains("hunter2") && !text.contains("sha256=") && !text.contains("octocat"),
            "{text}"
        );
    }

    let output = gateway.setup().run(&["plugin", "test", &ticket, "--cases", "cases"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), told.contains("1 case: ok\n")), (Some(0), true), "{told}");

    assert_eq!(plugin(&gateway, &args).0, Some(2), "a case is not overwritten");
    let missed = ["record", &*id, "--into", "cases/other", "--mask", "/sendr"];
    let (code, said) = plugin(&gateway, &missed);
    assert!(code == Some(2) && said.contains("`--mask /sendr`"), "{said}");
    assert!(!gateway.setup().path("cases/other").exists());
}

#[tokio::test]
async fn whole_events_and_pipelines_need_the_token() {
    let sink = Sink::start().await;
    let config = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ env = \"ADMIN_TOKEN\" }}\n{TICKETS}");
    let setup = Setup::new().sink(&sink).plugins().guest("filter", &guest::keeps());
    let gateway = setup.env("ADMIN_TOKEN", "an-operators-token").token("an-operators-token").config(&config);
    let gateway = gateway.start().await;
    let id = gateway.accept(issue("opened")).await;
    for path in [format!("/events/{id}/whole"), "/routes/github/pipeline".to_owned()] {
        gateway.admin().get(&path).await.expect(200);
        gateway.admin().with_token(None).get(&path).await.expect(401);
    }
    let whole = gateway.admin().get(&format!("/events/{id}/whole")).await.expect(200).text();
    assert!(!whole.contains("sha256=") && whole.contains("[hidden]"), "{whole}");
    let lineup = gateway.admin().get("/routes/github/pipeline").await.expect(200).json();
    assert_eq!((&lineup["steps"][1]["plugin"], &lineup["deliver"]), (&json!("ticket"), &json!(["tracker"])));
    assert!(Path::new(lineup["steps"][0]["file"].as_str().unwrap()).is_absolute(), "{lineup}");
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

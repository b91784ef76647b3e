use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sluice_tests::{
    client,
    gateway::{Gateway, Setup},
    guest,
    sink::Sink,
    wait,
};
use tokio::task::JoinSet;

use crate::common::{LOUD, hook, place};

/// Every delivery says which version of the config sent it.
const VERSIONED: &str = r#"
[destinations.sink]
url = "$SINK/in"
headers = { x-version = "@" }

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
deliver = ["sink"]
"#;

const WITH_PLUGIN: &str = r#"
[plugins.speaker]
file = "$DIR/speaker.wasm"

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "speaker" }]
deliver = ["sink"]
"#;

fn version(number: usize) -> String {
    VERSIONED.replace('@', &number.to_string())
}

async fn versioned(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).config(&version(1)).start().await
}

async fn speaker(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).guest("speaker", &guest::says("one")).config(WITH_PLUGIN).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_fail_no_request() {
    let _alone = LOUD.lock().await;
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    let senders = Senders::start(gateway.addr());
    for number in 2..=51 {
        let before = senders.accepted();
        gateway.setup().rename_config_over(&version(number));
        gateway.admin().reload().await.expect(200);
        wait::wait_until("load between reloads", async || senders.accepted() > before).await;
    }
    let accepted = senders.finish().await;
    assert!(gateway.admin().generation().await >= 51);
    let received = sink.wait_received("/in", accepted).await;
    assert!(received.iter().any(|request| request.header("x-version") == "51"));
}

#[tokio::test]
async fn config_written_in_place_takes_effect() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    gateway.setup().write_config(&version(2));
    wait_version(&gateway, &sink, "2").await;
}

#[tokio::test]
async fn config_renamed_over_takes_effect_every_time() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    for number in 2..=4 {
        gateway.setup().rename_config_over(&version(number));
        wait_version(&gateway, &sink, &number.to_string()).await;
    }
}

#[tokio::test]
async fn config_map_swapped_by_its_link_takes_effect_every_time() {
    let sink = Sink::start().await;
    let gateway = Setup::new().sink(&sink).config_map(&version(1)).start().await;
    for number in 2..=4 {
        gateway.setup().swap_config_map(&version(number));
        wait_version(&gateway, &sink, &number.to_string()).await;
    }
}

#[tokio::test]
async fn sighup_reloads() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    gateway.signal("HUP");
    wait::wait_until("second generation", async || gateway.admin().generation().await >= 2).await;
}

#[tokio::test]
async fn reload_names_the_new_generation() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    let answer = gateway.admin().reload().await.expect(200);
    assert_eq!(answer.json()["generation"], 2);
}

#[tokio::test]
async fn bad_config_leaves_the_old_one_serving_and_says_why() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    gateway.setup().write_config(&version(2).replace("deliver =", "delivr ="));
    let answer = gateway.admin().reload().await.expect(422);
    assert!(answer.text().contains("delivr") && answer.text().contains("deliver"), "{}", answer.text());
    let refused = r#"outcome="refused""#;
    assert!(gateway.admin().metric("sluice_reloads_total", refused).await >= 1.0);
    gateway.wait_log("delivr").await;
    wait_version(&gateway, &sink, "1").await;
}

#[tokio::test]
async fn config_that_a_plugin_refuses_leaves_the_old_one_serving_and_says_where() {
    let sink = Sink::start().await;
    let gateway = Setup::new().plugins().sink(&sink).config(FILTERED).start().await;
    gateway.setup().write_config(&FILTERED.replace("equals", "eqals"));
    let answer = gateway.admin().reload().await.expect(422);
    let place = place(gateway.setup(), "eqals");
    assert!(answer.text().contains(&place), "{}", answer.text());
    gateway.wait_log(&place).await;
    assert_eq!(gateway.admin().generation().await, 1);
}

const FILTERED: &str = r#"
[plugins.filter]
file = "$PLUGINS/filter.wasm"

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "github"
path = "/github"
verify = "none"
pipeline = [{ plugin = "filter", config = { where = { body = "/action", equals = "opened" } } }]
deliver = ["sink"]
"#;

#[tokio::test]
async fn bad_config_found_by_watching_is_logged_and_counted() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    gateway.setup().write_config("[server\n");
    let refused = r#"outcome="refused""#;
    wait::wait_until("refusal", async || {
        gateway.admin().metric("sluice_reloads_total", refused).await >= 1.0
    })
    .await;
    wait_version(&gateway, &sink, "1").await;
    gateway.setup().write_config(&version(3));
    wait_version(&gateway, &sink, "3").await;
}

#[tokio::test]
async fn replaced_plugin_takes_effect() {
    let sink = Sink::start().await;
    let gateway = speaker(&sink).await;
    wait_body(&gateway, &sink, "one").await;
    let file = gateway.setup().path("speaker.wasm");
    fs::write(file.with_extension("new"), guest::says("two")).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
    wait_body(&gateway, &sink, "two").await;
}

#[tokio::test]
async fn bad_plugin_leaves_the_old_one_serving_and_says_why() {
    let sink = Sink::start().await;
    let gateway = speaker(&sink).await;
    let bad = [&b"no wasm at all"[..], &guest::of_another_contract(), &guest::never_configured()];
    for wasm in bad {
        fs::write(gateway.setup().path("speaker.wasm"), wasm).unwrap();
        let answer = gateway.admin().reload().await.expect(422);
        assert!(answer.text().contains("speaker"), "{}", answer.text());
        wait_body(&gateway, &sink, "one").await;
    }
}

#[tokio::test]
async fn change_that_needs_a_restart_is_refused_by_name() {
    let sink = Sink::start().await;
    let gateway = versioned(&sink).await;
    let changes = [
        ("listen", "[server]\nlisten = \"127.0.0.1:1\"\n"),
        ("path", "[journal]\npath = \"$DIR/elsewhere\"\n"),
    ];
    for (key, change) in changes {
        gateway.setup().write_config(&format!("{change}{}", version(2)));
        let answer = gateway.admin().reload().await.expect(422);
        assert!(answer.text().contains(key) && answer.text().contains("restart"), "{}", answer.text());
        wait_version(&gateway, &sink, "1").await;
    }
    assert!(!gateway.setup().path("elsewhere").exists());
}

/// Sends events until one comes out with this version; gives up when that does not happen.
async fn wait_version(gateway: &Gateway, sink: &Sink, version: &str) {
    wait_last(gateway, sink, &format!("version {version}"), |last| last.header("x-version") == version).await;
}

async fn wait_body(gateway: &Gateway, sink: &Sink, body: &str) {
    wait_last(gateway, sink, &format!("body `{body}`"), |last| last.body == body).await;
}

async fn wait_last(
    gateway: &Gateway,
    sink: &Sink,
    what: &str,
    is_it: impl Fn(&sluice_tests::sink::Received) -> bool,
) {
    wait::wait_until(what, async || {
        let id = gateway.accept(hook(1)).await;
        gateway.admin().wait_state(&id, "delivered").await;
        sink.received("/in").last().is_some_and(&is_it)
    })
    .await;
}

/// Senders that want every event accepted.
struct Senders {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Senders {
    fn start(target: SocketAddr) -> Self {
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            tasks.spawn(send_until(target, Arc::clone(&stop), Arc::clone(&accepted)));
        }
        Self { stop, accepted, tasks }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many events were accepted; panics if one was not.
    async fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn send_until(target: SocketAddr, stop: Arc<AtomicBool>, accepted: Arc<AtomicUsize>) {
    let (client, base) = (client::http1(), format!("http://{target}"));
    while !stop.load(Ordering::Relaxed) {
        hook(1).send(&client, &base).await.expect("every request is answered").expect(202);
        accepted.fetch_add(1, Ordering::Relaxed);
    }
}

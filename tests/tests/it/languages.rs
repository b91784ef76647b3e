use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

use sluice_tests::{
    gateway::{Gateway, Setup, sluice_binary},
    guest,
    sink::Sink,
    webhook::{GITHUB_SECRET, Webhook},
};

use crate::common::hook;

/// An example in a language with a toolchain of its own, used as its README says.
struct Example {
    folder: &'static str,
    /// What the toolchain is pinned in.
    pins: &'static str,
    install: &'static str,
    build: &'static str,
}

const JAVASCRIPT: Example = Example {
    folder: "javascript",
    pins: "package.json",
    // Over an older installation npm leaves a part of it out.
    install: "rm -rf node_modules && npm install --no-package-lock --no-audit --no-fund",
    build: "npm run build",
};

const PYTHON: Example = Example {
    folder: "python",
    pins: "requirements.txt",
    install: "python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt",
    build: "PATH=.venv/bin:$PATH ./build.sh",
};

const TICKETS: &str = r#"
[plugins.ticket]
file = "$DIR/ticket.wasm"
isolation = "pooled"

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "ticket", config = { queue = "support" } }]
deliver = ["sink"]
"#;

const POOLED: &str = r#"
[plugins.guest]
file = "$DIR/guest.wasm"
isolation = "pooled"
pool = { calls = 3 }

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "one"
path = "/one"
verify = "none"
pipeline = [{ plugin = "guest" }]
deliver = ["sink"]

[[routes]]
name = "other"
path = "/other"
verify = "none"
pipeline = [{ plugin = "guest" }]
deliver = ["sink"]
"#;

#[tokio::test]
async fn kept_instances_are_a_routes_own_and_go_with_a_reload_or_after_their_calls() {
    let sink = Sink::start().await;
    let setup = Setup::new().sink(&sink).guest("guest", &guest::keeps_the_first());
    let gateway = setup.config(POOLED).start().await;
    check_states(&gateway, "/one", &["delivered", "dropped", "dropped", "delivered"]).await;
    check_states(&gateway, "/other", &["delivered", "dropped"]).await;
    gateway.setup().rename_config_over(&format!("# changed\n{POOLED}"));
    gateway.admin().reload().await.expect(200);
    check_states(&gateway, "/other", &["delivered", "dropped"]).await;
}

/// One event after the other comes to the state that is expected of it.
async fn check_states(gateway: &Gateway, path: &str, expected: &[&str]) {
    for (number, state) in expected.iter().enumerate() {
        let id = gateway.accept(hook(number).to(path)).await;
        gateway.admin().wait_state(&id, state).await;
    }
}

#[tokio::test]
async fn javascript_makes_tickets_in_an_instance_that_is_kept() {
    JAVASCRIPT.check().await;
}

#[tokio::test]
async fn python_makes_tickets_in_an_instance_that_is_kept() {
    PYTHON.check().await;
}

impl Example {
    async fn check(&self) {
        if !self.installed() {
            return;
        }
        self.succeed(self.build);
        assert_eq!(self.wasi(), Vec::<String>::new(), "it asks for nothing of WASI");
        let told = self.plugin(&["test", "build/ticket.wasm", "--cases", "cases", "--isolation", "pooled"]);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.ends_with("6 cases: ok\n"), "{told}");
        self.run().await;
    }

    /// In a gateway: an issue that was opened arrives as a ticket, one that was closed does not.
    async fn run(&self) {
        let sink = Sink::start().await;
        let wasm = fs::read(self.dir().join("build/ticket.wasm")).unwrap();
        let setup = Setup::new()
            .sink(&sink)
            .env("GITHUB_SECRET", GITHUB_SECRET)
            .guest("ticket", &wasm)
            .config(TICKETS);
        // It compiles the plugin, which takes longer than a gateway is waited for; a start finds that in the cache.
        let checked = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let gateway = setup.start().await;
        for (case, state) in [("closed", "dropped"), ("opened", "delivered"), ("opened", "delivered")] {
            let issue = Webhook::github("issues", self.payload(case));
            let id = gateway.accept(issue).await;
            gateway.admin().wait_state(&id, state).await;
        }
        let tickets = sink.wait_received("/in", 2).await;
        assert!(tickets.iter().all(|ticket| ticket.json()["queue"] == "support"));
    }

    /// The body of a case's event.
    fn payload(&self, case: &str) -> String {
        let event = fs::read(self.dir().join("cases").join(case).join("event.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&event).unwrap()["body_json"].to_string()
    }

    /// Where the toolchain is not to be had, what needs it is left out; not with `CI=true`.
    fn installed(&self) -> bool {
        let pins = fs::read(self.dir().join(self.pins)).unwrap();
        let done = self.dir().join("build/installed");
        if fs::read(&done).is_ok_and(|installed| installed == pins) {
            return true;
        }
        let output = self.shell(self.install);
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            assert!(!env::var("CI").is_ok_and(|ci| ci == "true"), "CI=true, but `{}`: {said}", self.install);
            eprintln!("left out: {} has no toolchain here: {said}", self.folder);
            return false;
        }
        fs::create_dir_all(self.dir().join("build")).unwrap();
        fs::write(done, pins).unwrap();
        true
    }

    fn wasi(&self) -> Vec<String> {
        let told = self.plugin(&["inspect", "build/ticket.wasm", "--json"]);
        let facts: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        serde_json::from_value(facts["wasi_imports"].clone()).unwrap()
    }

    fn plugin(&self, args: &[&str]) -> Output {
        Command::new(sluice_binary()).arg("plugin").args(args).current_dir(self.dir()).output().unwrap()
    }

    fn succeed(&self, command: &str) {
        let output = self.shell(command);
        assert!(output.status.success(), "`{command}`: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn shell(&self, command: &str) -> Output {
        Command::new("sh").args(["-c", command]).current_dir(self.dir()).output().unwrap()
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(self.folder)
    }
}

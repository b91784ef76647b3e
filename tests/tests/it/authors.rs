use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use sluice_tests::{
    gateway::{plugins_dir, sluice_binary},
    guest,
};
use tempfile::TempDir;

/// A folder to work in, as an author has one.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `sluice plugin`, run here.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(sluice_binary());
        command.arg("plugin").args(args).current_dir(self.0.path());
        beside_the_standard_plugins(&mut command);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it prints where it must end with this code.
    #[track_caller]
    fn told(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let told = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{}", told.concat());
        told.concat()
    }
}

/// A new plugin is built, tested and inspected; the edit that its author makes next shows in its case.
#[track_caller]
fn check_new(kind: &str, reply: (&str, &str)) {
    let (desk, name) = (Desk::new(), format!("new-{kind}"));
    let sdk = root().join("plugin-sdk").canonicalize().unwrap();
    let told = desk.told(0, &["new", &name, "--kind", kind, "--sdk-path", sdk.to_str().unwrap()]);
    assert!(told.contains(&format!("next: sluice plugin test {name}")), "{told}");
    assert!(desk.told(2, &["new", &name]).contains("is not empty"));

    fs::copy(root().join("plugins/Cargo.lock"), desk.path(&name).join("Cargo.lock")).unwrap();
    let built = desk.told(0, &["build", &name]);
    assert!(built.contains(&format!("kind      {kind}\n")) && built.contains("runs here yes"), "{built}");
    assert!(!built.contains("zstack-size"), "the template's link flags are not used\n{built}");
    assert!(desk.told(0, &["test", &name]).contains("ok        first\n1 case: ok\n"));
    cargo_test(&desk.path(&name));

    let source = desk.path(&name).join("src/lib.rs");
    let edited = fs::read_to_string(&source).unwrap().replace(reply.0, reply.1);
    fs::write(&source, edited).unwrap();
    assert!(desk.told(1, &["test", &name]).contains("different first: - is expected, + was made"));
    assert!(desk.told(0, &["test", &name, "--update"]).contains("written   first"));
    assert!(desk.told(0, &["test", &name]).contains("1 case: ok\n"));
}

/// Builds with what the standard plugins are built with, and so without a network.
fn beside_the_standard_plugins(command: &mut Command) -> &mut Command {
    let target = root().join("plugins/target");
    command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true").env_remove("RUSTFLAGS")
}

fn cargo_test(dir: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = beside_the_standard_plugins(cargo.arg("test").current_dir(dir)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_new_filter_works_at_once() {
    check_new("filter", ("self.types.contains(&event_type)", "false"));
}

#[test]
fn a_new_transform_works_at_once() {
    check_new("transform", (r#"["issue"]["title"]"#, r#"["issue"]["number"]"#));
}

#[test]
fn a_new_verifier_works_at_once() {
    check_new("verify", ("accept_if(genuine", "accept_if(!genuine"));
}

#[test]
fn a_new_batch_plugin_works_at_once() {
    check_new("batch", (r#""title": self.title"#, r#""total": events.len()"#));
}

#[test]
fn a_crate_that_is_not_there_is_bad_usage() {
    let desk = Desk::new();
    assert!(desk.told(2, &["build"]).contains("`sluice plugin new NAME`"));
    assert!(desk.told(2, &["test"]).contains("failed to look for cases in"));
    assert!(desk.told(2, &["new", "Big"]).contains("begin with a lower-case letter"));
    assert!(desk.told(2, &["inspect", "none.wasm"]).contains("none.wasm"));
}

#[test]
fn a_target_that_is_missing_is_explained() {
    let desk = Desk::new();
    let rustc = desk.path("rustc");
    fs::write(&rustc, "#!/bin/sh\necho /nowhere\n").unwrap();
    fs::set_permissions(&rustc, Permissions::from_mode(0o755)).unwrap();
    desk.told(0, &["new", "any"]);
    let output = desk.command(&["build", "any"]).env("RUSTC", &rustc).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("`rustup target add wasm32-unknown-unknown`"), "{told}");
}

#[test]
fn a_plugin_is_inspected_for_people_and_for_programs() {
    let desk = Desk::new();
    let map = plugins_dir().join("map.wasm");
    assert!(desk.told(0, &["inspect", map.to_str().unwrap()]).contains("kind      transform\n"));
    fs::write(desk.path("other.wasm"), guest::of_another_contract()).unwrap();
    let output = desk.run(&["inspect", "other.wasm", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&facts["kinds"][0], &facts["contracts"][0]), (&"filter".into(), &"9.0.0".into()));
    assert!(facts["refused"].as_str().unwrap().contains("sluice:plugin@9.0.0"), "{facts}");
}

#[test]
fn what_a_hostile_plugin_does_is_an_outcome() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path("cases/any")).unwrap();
    fs::write(desk.path("cases/any/event.json"), "{}").unwrap();
    for (wasm, outcome) in [
        (guest::traps(), "trap"),
        (guest::loops(), "time-limit"),
        (guest::hoards(), "memory-limit"),
        (guest::floods(), "output-limit"),
    ] {
        fs::write(desk.path("guest.wasm"), wasm).unwrap();
        desk.told(0, &["test", "guest.wasm", "--cases", "cases", "--update"]);
        let expected = fs::read_to_string(desk.path("cases/any/expected.json")).unwrap();
        assert!(expected.contains(&format!("\"error\": \"{outcome}\"")), "{expected}");
    }
}

#[test]
fn two_plugins_are_measured_in_turns() {
    let desk = Desk::new();
    fs::write(desk.path("old.wasm"), guest::keeps()).unwrap();
    fs::write(desk.path("new.wasm"), guest::drops("no")).unwrap();
    let told = desk.told(0, &["bench", "new.wasm", "--against", "old.wasm", "--seconds", "1"]);
    for part in [
        "new.wasm: filter\n",
        "old.wasm: filter\n",
        "drop: no (100 %)",
        "an event ",
        "the first costs ",
        "differ",
    ] {
        assert!(told.contains(part), "`{part}` is missing from\n{told}");
    }
}

#[test]
fn figures_are_told_to_programs() {
    let desk = Desk::new();
    fs::write(desk.path("guest.wasm"), guest::says("hello")).unwrap();
    let output = desk.run(&["bench", "guest.wasm", "--seconds", "1", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let plugin = &told["plugins"][0];
    for figure in ["/fresh_cpu_us/median", "/reused_cpu_us/p90", "/load_ms/cached", "/pages/all"] {
        assert!(plugin.pointer(figure).unwrap().as_f64().unwrap() > 0.0, "{figure} {plugin}");
    }
    assert_eq!((&plugin["kind"], &plugin["most"]["messages"]), (&"transform".into(), &1.into()));
}

#[test]
fn limits_are_those_that_a_case_is_given() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path("cases/any")).unwrap();
    fs::write(desk.path("cases/any/request.http"), "POST / HTTP/1.1\nhost: x\n\nhello").unwrap();
    fs::write(desk.path("guest.wasm"), guest::hoards()).unwrap();
    let expected = || fs::read_to_string(desk.path("cases/any/expected.json")).unwrap();
    let args = ["test", "guest.wasm", "--cases", "cases", "--update"];
    desk.told(0, &[&args[..], &["--limits", "memory=8MiB"]].concat());
    assert!(expected().contains("its limit is 8.0 MiB"), "{}", expected());
    fs::write(desk.path("cases/any/limits.json"), r#"{ "memory": "6MiB" }"#).unwrap();
    desk.told(0, &[&args[..], &["--limits", "memory=8MiB"]].concat());
    assert!(expected().contains("its limit is 6.0 MiB"), "{}", expected());
    assert!(desk.told(2, &["test", "guest.wasm", "--limits", "mem=1"]).contains("`mem` is no limit"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

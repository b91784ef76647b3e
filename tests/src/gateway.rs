//! The real binary, started on a config of the test's own.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    admin::Admin,
    client::{self, Answer},
    process::Process,
    raw::Raw,
    sink::Sink,
    wait,
    webhook::{GITHUB_SECRET, SIGNING_SECRET, Webhook},
};

/// Added to a config that does not say otherwise: free ports and a journal of its own.
const DEFAULTS: [(&str, &str); 3] = [
    ("[server]", "[server]\nlisten = \"127.0.0.1:0\"\n"),
    ("[admin]", "[admin]\nlisten = \"127.0.0.1:0\"\n"),
    ("[journal]", "[journal]\npath = \"$DIR/journal\"\n"),
];

/// What a gateway is started on: a directory, a config, an environment. It outlives each process started on it.
///
/// In config texts, `$DIR` is the directory, `$PLUGINS` where the standard plugins are, `$SINK` the sink's URL.
pub struct Setup {
    dir: TempDir,
    config_file: PathBuf,
    values: Vec<(String, String)>,
    env: Vec<(String, String)>,
    token: Option<String>,
    binary: Option<PathBuf>,
}

/// A running gateway. Killed when dropped; its log is shown if that happens in a panic.
pub struct Gateway {
    setup: Setup,
    process: Process,
    addr: SocketAddr,
    admin: Admin,
    client: Client,
}

impl Setup {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sluice-test-").tempdir().expect("temporary directory");
        let config_file = dir.path().join("conf/sluice.toml");
        fs::create_dir(dir.path().join("conf")).expect("directory can be made");
        let values = vec![("$DIR".to_owned(), dir.path().display().to_string())];
        let setup = Self { dir, config_file, values, env: Vec::new(), token: None, binary: None };
        setup.env("GITHUB_SECRET", GITHUB_SECRET).env("SIGNING_SECRET", SIGNING_SECRET)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts `value` in the place of `name` in configs.
    pub fn value(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.push((name.to_owned(), value.into()));
        self
    }

    /// `$SINK` is this one.
    pub fn sink(self, sink: &Sink) -> Self {
        self.value("$SINK", sink.url())
    }

    /// `$PLUGINS` is where the standard plugins are.
    pub fn plugins(self) -> Self {
        self.value("$PLUGINS", plugins_dir().display().to_string())
    }

    /// Puts a plugin at `$DIR/NAME.wasm`.
    pub fn guest(self, name: &str, wasm: &[u8]) -> Self {
        fs::write(self.path(&format!("{name}.wasm")), wasm).expect("plugin can be written");
        self
    }

    /// What the admin client says it is allowed by.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Runs another program instead of the binary under test.
    pub fn binary(mut self, binary: PathBuf) -> Self {
        self.binary = Some(binary);
        self
    }

    pub fn config(self, config: &str) -> Self {
        self.write_config(config);
        self
    }

    /// The config as Kubernetes mounts a ConfigMap: `sluice.toml` → `..data/sluice.toml`, `..data` → a directory.
    pub fn config_map(self, config: &str) -> Self {
        self.swap_config_map(config);
        symlink("..data/sluice.toml", &self.config_file).expect("link can be made");
        self
    }

    /// Swaps the ConfigMap's directory for a new one, as the kubelet does: only the link changes.
    pub fn swap_config_map(&self, config: &str) {
        let conf = self.path("conf");
        let old = fs::read_link(conf.join("..data")).ok();
        let new =
            (1..).map(|n| format!("..{n}")).find(|name| !conf.join(name).exists()).expect("name is free");
        fs::create_dir(conf.join(&new)).expect("directory can be made");
        fs::write(conf.join(&new).join("sluice.toml"), self.render(config)).expect("config can be written");
        symlink(&new, conf.join("..data_tmp")).expect("link can be made");
        fs::rename(conf.join("..data_tmp"), conf.join("..data")).expect("link can be renamed");
        if let Some(old) = old {
            fs::remove_dir_all(conf.join(old)).expect("old directory can be removed");
        }
    }

    /// Truncates the config file and writes it anew.
    pub fn write_config(&self, config: &str) {
        fs::write(&self.config_file, self.render(config)).expect("config can be written");
    }

    /// Writes the config beside the file and renames it over.
    pub fn rename_config_over(&self, config: &str) {
        let beside = self.config_file.with_extension("toml.tmp");
        fs::write(&beside, self.render(config)).expect("config can be written");
        fs::rename(&beside, &self.config_file).expect("config can be renamed");
    }

    /// A path inside the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Runs one command of the binary to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("sluice runs")
    }

    /// Starts the gateway and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get there; its log is shown.
    pub async fn start(self) -> Gateway {
        let process = self.spawn();
        Gateway::wait_ready(self, process).await
    }

    /// Starts the gateway, which must end by itself with this exit code; gives what it said on standard error.
    pub async fn start_refused(&self, code: i32) -> String {
        let mut process = self.spawn();
        let status = process.wait_exit().await;
        let said = process.stderr().join("\n");
        assert_eq!(status.code(), Some(code), "{said}");
        said
    }

    fn spawn(&self) -> Process {
        let config = self.config_file.display().to_string();
        Process::spawn(self.command(&["run", "--config", &config, "--log-format", "json", "--log", "info"]))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.binary.clone().unwrap_or_else(sluice_binary));
        command.args(args).current_dir(self.dir.path()).env_remove("RUST_LOG");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn render(&self, config: &str) -> String {
        let given = DEFAULTS.iter().filter(|(section, _)| !config.contains(section));
        let text = given.map(|(_, default)| *default).chain([config]).collect::<Vec<_>>().join("\n");
        self.values.iter().fold(text, |text, (name, value)| text.replace(name, value))
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Gateway {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The directory and the files in it.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub async fn send(&self, webhook: Webhook) -> Answer {
        match webhook.send(&self.client, &self.url()).await {
            Ok(answer) => answer,
            Err(error) => panic!("no answer: {error:?}"),
        }
    }

    /// Sends an event that must be accepted; gives its id.
    pub async fn accept(&self, webhook: Webhook) -> String {
        self.send(webhook).await.expect(202).id()
    }

    pub async fn connect(&self) -> Raw {
        Raw::connect(self.addr).await.expect("gateway accepts connections")
    }

    /// Everything logged so far, line by line.
    pub fn logs(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// Waits for a log line that contains `text`, and gives it.
    pub async fn wait_log(&self, text: &str) -> String {
        let what = format!("log line with `{text}`");
        wait::wait_for(&what, async || self.logs().into_iter().find(|line| line.contains(text))).await
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub async fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit().await
    }

    /// SIGKILL, then a new process on the same directory.
    pub async fn crash_and_restart(mut self) -> Self {
        self.process.kill9();
        self.setup.start().await
    }

    /// SIGTERM, waits for the end, gives the exit status and what it was started on.
    pub async fn stop(mut self) -> (ExitStatus, Setup) {
        self.signal("TERM");
        let status = self.wait_exit().await;
        (status, self.setup)
    }

    async fn wait_ready(setup: Setup, mut process: Process) -> Self {
        wait::wait_until("gateway ready", async || {
            if let Some(status) = process.exited().expect("child can be waited for") {
                panic!("gateway ended instead of getting ready: {status}");
            }
            logged(&process, "ready").is_some()
        })
        .await;
        let addr = address(&process, "listening");
        let admin = Admin::new(address(&process, "admin listening"), setup.token.clone());
        Self { setup, process, addr, admin, client: client::http1() }
    }
}

/// The binary under test: `SLUICE_BIN`, or the one built beside this program.
///
/// # Panics
/// If there is none.
pub fn sluice_binary() -> PathBuf {
    let found = env::var_os("SLUICE_BIN").map(PathBuf::from).or_else(|| beside("sluice"));
    found.expect("no `sluice` beside the tests: run `cargo xtask test`, or set SLUICE_BIN")
}

/// The standard plugins: `SLUICE_PLUGINS`, or `target/plugins` around this program.
///
/// # Panics
/// If there are none.
pub fn plugins_dir() -> PathBuf {
    let built = || beside("plugins/map.wasm").and_then(|map| Some(map.parent()?.to_owned()));
    let found = env::var_os("SLUICE_PLUGINS").map(PathBuf::from).or_else(built);
    found.expect("no plugins under target/: run `cargo xtask plugins`, or set SLUICE_PLUGINS")
}

/// Looks for a file in the directories above this program.
fn beside(name: &str) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    program.ancestors().skip(1).take(3).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The fields of the first log line with that message.
fn logged(process: &Process, message: &str) -> Option<Value> {
    let mut lines = process.stderr().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.find(|line| line["fields"]["message"] == message).map(|mut line| line["fields"].take())
}

fn address(process: &Process, message: &str) -> SocketAddr {
    let addr = logged(process, message).and_then(|fields| fields["addr"].as_str()?.parse().ok());
    let mut addr: SocketAddr = addr.unwrap_or_else(|| panic!("no address in a log line `{message}`"));
    if addr.ip().is_unspecified() {
        addr.set_ip([127, 0, 0, 1].into());
    }
    addr
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn config_is_rendered_with_defaults_and_values() {
        let setup = Setup::new().value("$SINK", "http://x");
        let text = setup.render("[journal]\npath = \"j\"\n[destinations.a]\nurl = \"$SINK/a\"\n");
        assert!(text.starts_with("[server]\nlisten = \"127.0.0.1:0\"\n"), "{text}");
        assert_eq!(text.matches("[journal]").count(), 1);
        assert!(text.contains("url = \"http://x/a\""));
    }

    #[test]
    fn config_map_is_swapped_by_its_link_alone() {
        let setup = Setup::new().config_map("# one");
        setup.swap_config_map("# two");
        assert!(fs::read_to_string(setup.config_file()).unwrap().contains("# two"));
        assert_eq!(fs::read_link(setup.config_file()).unwrap(), Path::new("..data/sluice.toml"));
        assert_eq!(fs::read_link(setup.path("conf/..data")).unwrap(), Path::new("..2"));
        assert!(!setup.path("conf/..1").exists());
    }

    /// Says what a gateway says, and ends when told to.
    const PUPPET: &str = r#"#!/bin/sh
trap 'exit 0' TERM
echo '{"fields":{"message":"listening","addr":"0.0.0.0:4711"}}' >&2
echo '{"fields":{"message":"admin listening","addr":"127.0.0.1:4712"}}' >&2
echo '{"fields":{"message":"ready"}}' >&2
while :; do sleep 0.01; done
"#;

    fn puppet(script: &str) -> Setup {
        let setup = Setup::new().config("");
        let file = setup.path("puppet");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        setup.binary(file)
    }

    #[tokio::test]
    async fn gateway_is_ready_at_the_addresses_that_it_logs_and_stops_at_sigterm() {
        let gateway = puppet(PUPPET).start().await;
        assert_eq!(gateway.url(), "http://127.0.0.1:4711");
        assert_eq!(gateway.admin().url(), "http://127.0.0.1:4712");
        let (status, _) = gateway.stop().await;
        assert_eq!(status.code(), Some(0));
    }

    #[tokio::test]
    async fn gateway_that_crashes_is_started_again_on_the_same_directory() {
        let gateway = puppet(PUPPET).start().await;
        let (pid, file) = (gateway.pid(), gateway.setup().config_file().to_owned());
        let gateway = gateway.crash_and_restart().await;
        assert_ne!(gateway.pid(), pid);
        assert_eq!(gateway.setup().config_file(), file);
    }

    #[tokio::test]
    async fn refusal_to_start_gives_its_reason() {
        let said = puppet("#!/bin/sh\necho 'error: no' >&2; exit 2\n").start_refused(2).await;
        assert_eq!(said, "error: no");
    }
}

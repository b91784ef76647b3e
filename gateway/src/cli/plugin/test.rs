//! `sluice plugin test`: a plugin against a folder of cases.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::anyhow;
use serde_json::Value;

use super::{
    build,
    case::{Case, Subject},
    diff::diff,
    json::Json,
    outcome,
    step::{self, Lives},
    unusable,
};
use crate::{
    cli::output::{print, printable},
    plugin::{Plugin, PluginError, PluginHost, Role, block_on},
    telemetry::Chain,
};

/// Runs a plugin on a folder of cases and compares what comes of them with what is expected.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// A plugin's crate, which is built first, or a `.wasm` file.
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    plugin: PathBuf,
    /// The folder of cases; by default `cases` in the crate.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// The step's config for cases that have no `config.json`: JSON in braces, or a file of JSON or TOML.
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// As the config's `isolation`: whether every case has an instance of its own, or instances are kept.
    #[arg(long, value_enum, default_value_t)]
    isolation: Lives,
    /// Write what comes of the cases into their `expected.json`.
    #[arg(long)]
    update: bool,
}

/// Runs every case and says what became of each. 1 if one differs.
///
/// # Errors
/// If the plugin cannot be built or loaded, or a case cannot be read.
pub(super) fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let cases = Case::all(&cases_dir(args)?)?;
    let config = step::config(args.config.as_deref())?;
    let file = file(&args.plugin)?;
    let mut bench = Bench { file, lives: args.isolation, host: step::host()?, loaded: HashMap::new() };
    let mut tally = Tally::default();
    for case in &cases {
        let made = bench.run(case, case.config.as_ref().unwrap_or(&config))?;
        let told = settle(case, &made, args.update, &mut tally)?;
        print(&told)?;
    }
    print(&format!("{}\n", tally.line(args.update)))?;
    Ok(if tally.differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cases_dir(args: &TestArgs) -> anyhow::Result<PathBuf> {
    match &args.cases {
        Some(dir) => Ok(dir.clone()),
        None if args.plugin.is_dir() => Ok(args.plugin.join("cases")),
        None => Err(unusable(format!(
            "`{}` is no folder of a crate, so `--cases DIR` has to say where the cases are",
            args.plugin.display()
        ))),
    }
}

/// The plugin itself; a crate is built.
fn file(plugin: &Path) -> anyhow::Result<PathBuf> {
    if !plugin.is_dir() {
        return Ok(plugin.to_owned());
    }
    let mut built = build::build(plugin)?;
    match (built.pop(), built.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => Err(unusable(format!(
            "`{}` makes more than one plugin; name the folder of one, or a `.wasm` file and `--cases DIR`",
            plugin.display()
        ))),
    }
}

/// The plugin under test, loaded once for each config and use.
struct Bench {
    file: PathBuf,
    lives: Lives,
    host: PluginHost,
    loaded: HashMap<String, Loaded>,
}

/// A plugin, or why it refuses its config: that is an outcome too.
type Loaded = Result<Arc<Plugin>, String>;

impl Bench {
    fn run(&mut self, case: &Case, config: &Value) -> anyhow::Result<Json> {
        Ok(match self.load(config, case.subject.role())? {
            Ok(plugin) => match &case.subject {
                Subject::Event(view) => outcome::of(&block_on(plugin.call(view)), case.expected.as_ref()),
                Subject::Window(window) => outcome::of_fold(
                    &block_on(plugin.fold(window)),
                    window.items.len(),
                    case.expected.as_ref(),
                ),
            },
            Err(reason) => outcome::refused(&reason),
        })
    }

    fn load(&mut self, config: &Value, role: Role) -> anyhow::Result<Loaded> {
        let key = format!("{role:?} {config}");
        if let Some(loaded) = self.loaded.get(&key) {
            return Ok(loaded.clone());
        }
        let loaded = match step::load(&self.host, &self.file, self.lives, config, role) {
            Ok(plugin) => Ok(plugin),
            Err(PluginError::Config { reason, .. }) => Err(reason),
            Err(error @ PluginError::Read { .. }) => return Err(unusable(Chain(&error).to_string())),
            Err(error) => return Err(anyhow!("{}", Chain(&error))),
        };
        Ok(self.loaded.entry(key).or_insert(loaded).clone())
    }
}

#[derive(Debug, Default)]
struct Tally {
    ok: usize,
    differ: usize,
    written: usize,
}

impl Tally {
    fn line(&self, update: bool) -> String {
        let Self { ok, differ, written } = self;
        let cases = ok + differ + written;
        let cases = if cases == 1 { "1 case".to_owned() } else { format!("{cases} cases") };
        match (differ, written) {
            (0, 0) => format!("{cases}: ok"),
            (0, _) => format!("{cases}: {ok} as before, {written} written; look them over before you commit"),
            _ if update => format!("{cases}: {ok} ok, {differ} not written"),
            _ => format!("{cases}: {ok} ok, {differ} different; if that is right, `--update` writes it"),
        }
    }
}

/// Compares what came of a case with what is expected, and says so.
fn settle(case: &Case, made: &Json, update: bool, tally: &mut Tally) -> anyhow::Result<String> {
    let name = case.name();
    let name = printable(&name);
    let difference = match &case.expected {
        Some(expected) => diff(&expected.sorted().to_string(), &made.sorted().to_string()),
        None => diff("", &made.to_string()),
    };
    if difference.is_empty() {
        tally.ok += 1;
        return Ok(format!("ok        {name}\n"));
    }
    if update {
        case.expect(made)?;
        tally.written += 1;
        return Ok(format!("written   {name}\n"));
    }
    tally.differ += 1;
    let what = match case.expected {
        Some(_) => format!("different {name}: - is expected, + was made\n"),
        None => format!("different {name}: there is no `expected.json`; + was made\n"),
    };
    Ok(difference.lines().fold(what, |told, line| told + "    " + line + "\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::plugin::fixtures;

    /// A filter that drops everything for the reason `reason`, and one case.
    fn set_up(expected: Option<&str>) -> (tempfile::TempDir, TestArgs) {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("cases/one");
        fs::create_dir_all(&case).unwrap();
        fs::write(case.join("event.json"), "{}").unwrap();
        if let Some(expected) = expected {
            fs::write(case.join("expected.json"), expected).unwrap();
        }
        let plugin = dir.path().join("guest.wasm");
        fs::write(&plugin, fixtures::filter("(call $drop)")).unwrap();
        let cases = Some(dir.path().join("cases"));
        (dir, TestArgs { plugin, cases, config: None, isolation: Lives::Event, update: false })
    }

    fn code(args: &TestArgs) -> ExitCode {
        test(args).unwrap()
    }

    #[test]
    fn a_case_that_comes_out_as_expected_is_ok() {
        let (_dir, args) = set_up(Some(r#"{ "reason": "reason", "verdict": "drop" }"#));
        assert_eq!(code(&args), ExitCode::SUCCESS);
    }

    #[test]
    fn a_case_that_does_not_is_1_until_it_is_updated() {
        for expected in [None, Some(r#"{ "verdict": "keep" }"#)] {
            let (dir, args) = set_up(expected);
            assert_eq!(code(&args), ExitCode::FAILURE);
            assert_eq!(code(&TestArgs { update: true, ..args }), ExitCode::SUCCESS);
            let written = fs::read_to_string(dir.path().join("cases/one/expected.json")).unwrap();
            assert_eq!(written, "{\n  \"verdict\": \"drop\",\n  \"reason\": \"reason\"\n}\n");
        }
    }

    #[test]
    fn an_update_leaves_alone_what_is_right() {
        let text = r#"{ "reason": "reason",   "verdict": "drop" }"#;
        let (dir, args) = set_up(Some(text));
        assert_eq!(code(&TestArgs { update: true, ..args }), ExitCode::SUCCESS);
        assert_eq!(fs::read_to_string(dir.path().join("cases/one/expected.json")).unwrap(), text);
    }

    #[test]
    fn a_difference_is_shown_line_by_line() {
        let (_dir, args) = set_up(Some(r#"{ "verdict": "drop", "reason": "old" }"#));
        let case = &Case::all(args.cases.as_ref().unwrap()).unwrap()[0];
        let made = Json::parse(r#"{ "verdict": "drop", "reason": "new" }"#).unwrap();
        assert_eq!(
            settle(case, &made, false, &mut Tally::default()).unwrap(),
            "different one: - is expected, + was made\n      {\n    -   \"reason\": \"old\",\n    \
             +   \"reason\": \"new\",\n        \"verdict\": \"drop\"\n      }\n"
        );
    }

    #[test]
    fn a_plugin_that_is_not_there_is_bad_usage() {
        let (dir, args) = set_up(None);
        let refused = test(&TestArgs { plugin: dir.path().join("none.wasm"), ..args }).unwrap_err();
        assert!(refused.is::<super::super::Unusable>());
        assert!(refused.to_string().contains("none.wasm"), "{refused}");
    }

    #[test]
    fn a_config_that_is_refused_is_an_outcome() {
        let refuses = fixtures::Wat { configure: "(call $fail (i32.const 2))", ..fixtures::Wat::default() };
        let (dir, args) = set_up(Some(r#"{ "verdict": "config-refused", "reason": "reason" }"#));
        fs::write(dir.path().join("guest.wasm"), refuses.module()).unwrap();
        assert_eq!(code(&args), ExitCode::SUCCESS);
    }
}

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sluice_tests::gateway::{plugins_dir, sluice_binary};

/// The standard plugins' folders: those with a README, which what they share has not.
fn standard_plugins() -> Vec<PathBuf> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut found: Vec<_> = fs::read_dir(plugins).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|dir| dir.join("README.md").is_file());
    found.sort();
    assert!(found.len() >= 11, "only {found:?}");
    found
}

fn name(plugin: &Path) -> &str {
    plugin.file_name().unwrap().to_str().unwrap()
}

fn json(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// The config that a README begins with: of a step in a pipeline of its own or in that of a whole route, or of a
/// route's batches.
fn first_config(readme: &str) -> Option<Value> {
    let block = readme.split("```toml\n").nth(1)?.split("```").next()?;
    let whole =
        if block.starts_with('{') { format!("[[routes]]\npipeline = [{block}]") } else { block.to_owned() };
    let config: Value = toml::from_str(&whole).unwrap();
    let route = &config["routes"][0];
    let places = ["/pipeline/0/config", "/batch/config", "/verify/config"];
    places.into_iter().find_map(|place| route.pointer(place)).cloned()
}

#[test]
fn every_standard_plugin_does_what_its_cases_expect() {
    for plugin in standard_plugins() {
        let (name, cases) = (name(&plugin), plugin.join("cases"));
        let wasm = plugins_dir().join(format!("{name}.wasm"));
        let mut sluice = Command::new(sluice_binary());
        let output = sluice.args(["plugin", "test"]).arg(wasm).arg("--cases").arg(&cases).output().unwrap();
        let told = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(output.status.success(), "{name}\n{}", told.concat());
        assert!(fs::read_dir(&cases).unwrap().count() >= 3, "{name} has fewer than 3 cases");
    }
}

#[test]
fn the_first_example_of_every_readme_is_a_case() {
    for plugin in standard_plugins() {
        let (name, case) = (name(&plugin), plugin.join("cases/readme"));
        let readme = fs::read_to_string(plugin.join("README.md")).unwrap();
        let config = Some(case.join("config.json")).filter(|file| file.exists()).map(|file| json(&file));
        assert_eq!(first_config(&readme), config, "{name}");
        let expected = json(&case.join("expected.json"));
        let made = expected["messages"].as_array().into_iter().flatten();
        for body in made.filter_map(|message| message["body"].as_str()) {
            assert!(readme.contains(body), "the README of {name} does not show\n{body}");
        }
    }
}

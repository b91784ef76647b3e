use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sluice_tests::{
    gateway::{Setup, plugins_dir},
    guest,
    webhook::SIGNING_SECRET,
};

/// What makes a whole config of a part of one.
const ROUTE: &str = "[[routes]]\nname = \"rest\"\npath = \"/rest\"\n";
const VERIFY: &str = "verify = { preset = \"github\", secrets = [{ env = \"GITHUB_SECRET\" }] }\n";

/// Where the reference describes which part of the schema, and what its keys begin with there.
const SECTIONS: [(&str, &str, &str); 12] = [
    ("## `[server]`", "Server", ""),
    ("## `[admin]`", "Admin", ""),
    ("## `[journal]`", "Journal", ""),
    ("## `[plugins.NAME]`", "Plugin", ""),
    ("## `[plugins.NAME]`", "Limits", "limits."),
    ("## `[plugins.NAME]`", "Pool", "pool."),
    ("## `[plugins.NAME]`", "Grants", ""),
    ("## `[plugins.NAME]`", "Canary", ""),
    ("## `[destinations.NAME]`", "Destination", ""),
    ("## `[[routes]]`", "Route", ""),
    ("## `[[routes]]`", "Step", ""),
    ("## `[[routes]]`", "Batch", ""),
];

#[test]
fn every_config_in_the_documents_is_a_good_one() {
    let blocks: Vec<_> = documents().iter().flat_map(|document| toml_blocks(document)).collect();
    let configs: Vec<_> = blocks.iter().filter_map(|block| whole(block)).collect();
    assert!(configs.len() >= 13, "only {} configs in the documents", configs.len());
    let names: BTreeSet<_> = configs.iter().flat_map(|config| values(config, "env")).collect();
    let setup = names.iter().fold(Setup::new(), |setup, name| setup.env(name, SIGNING_SECRET));
    for config in &configs {
        place_files(&setup, config);
        setup.write_config(config);
        let output = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
        assert!(output.status.success(), "{config}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_reference_has_every_key_with_its_default() {
    let (schema, reference) = (schema(), read("docs/reference/configuration.md"));
    for (heading, definition, prefix) in SECTIONS {
        let (_, section) = reference.split_once(heading).unwrap_or_else(|| panic!("no `{heading}`"));
        let section = section.split("\n## ").next().unwrap();
        let definition = &schema["$defs"][definition];
        for (key, property) in definition["properties"].as_object().unwrap() {
            let start = format!("| `{prefix}{key}`");
            let row = section.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("no row `{start}` below `{heading}`"));
            let restart =
                property["description"].as_str().unwrap().replace('\n', " ").contains("needs a restart");
            assert_eq!(row.contains('⟳'), restart, "{row}");
            if let Some(default) = default(definition, key, property) {
                assert_eq!(row.split(" | ").nth(1), Some(default.as_str()), "{row}");
            }
        }
    }
}

#[test]
fn the_reference_names_every_key_of_every_table() {
    let (schema, reference) = (schema(), read("docs/reference/configuration.md"));
    let tables = schema["$defs"].as_object().unwrap().values();
    let variants = tables.clone().filter_map(|table| table["oneOf"].as_array()).flatten();
    let keys: BTreeSet<_> = tables
        .chain(variants)
        .filter_map(|table| table["properties"].as_object())
        .flat_map(|keys| keys.keys())
        .collect();
    assert!(keys.len() > 50, "{keys:?}");
    let forms = |key: &str| [format!("`{key}`"), format!(".{key}`"), format!("{key} = ")];
    let named = |key: &str| forms(key).iter().any(|form| reference.contains(form));
    let missing: Vec<_> = keys.into_iter().filter(|key| !named(key)).collect();
    assert_eq!(missing, [""; 0], "not in docs/reference/configuration.md");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in markdown() {
        let text = fs::read_to_string(&path).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {target}", path.display());
            let is_there = anchor.is_empty() || anchors(&fs::read_to_string(file).unwrap()).contains(anchor);
            assert!(is_there, "{}: {target} is no heading", path.display());
        }
    }
}

/// What GitHub makes of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let anchor = |heading: &str| heading.trim().chars().filter(kept).collect::<String>();
    let headings = prose.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    headings.map(|heading| anchor(heading).replace(' ', "-").to_lowercase()).collect()
}

/// What a block of TOML shows, with what it leaves out; `None` for what is meant for Cargo.
fn whole(block: &str) -> Option<String> {
    if block.contains("[package]") || block.contains("rustflags") {
        return None;
    }
    Some(if let Some(plugin) = values(block, "{ plugin").next().filter(|_| block.starts_with('{')) {
        format!("[plugins.{plugin}]\nfile = \"{plugin}.wasm\"\n{ROUTE}{VERIFY}pipeline = [{block}]\n")
    } else if block.starts_with("verify = ") {
        format!("{ROUTE}{block}")
    } else if block.starts_with("secrets = ") {
        format!("{ROUTE}verify = {{ preset = \"github\", {block} }}\n")
    } else if block.contains("[[routes]]") {
        with_destinations(block)
    } else {
        format!("{block}\n{ROUTE}{VERIFY}")
    })
    // What is elsewhere on a reader's machine is in the test's directory here.
    .map(|config| {
        ["/etc/", "/var/lib/"].iter().fold(config, |c, root| c.replace(&format!("\"{root}"), "\"$DIR/"))
    })
}

/// Defines the destinations that a config names and leaves to the reader.
fn with_destinations(config: &str) -> String {
    let lists = config.lines().filter_map(|line| line.strip_prefix("deliver = "));
    let names: BTreeSet<_> = lists.flat_map(|list| list.split('"').skip(1).step_by(2)).collect();
    let missing = names.into_iter().filter(|name| !config.contains(&format!("[destinations.{name}]")));
    let tables = missing.map(|name| format!("\n[destinations.{name}]\nurl = \"http://127.0.0.1:9/\"\n"));
    config.to_owned() + &tables.collect::<String>()
}

/// Puts the files that a config names where it names them.
fn place_files(setup: &Setup, config: &str) {
    let at = |file: &str| {
        let file = file.replace("$DIR", setup.path("").to_str().unwrap());
        let path = setup.config_file().parent().unwrap().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    for file in values(config, "file") {
        let bytes = if file.ends_with(".wasm") { plugin(file, config) } else { SIGNING_SECRET.into() };
        fs::write(at(file), bytes).unwrap();
    }
    for (cert, key) in values(config, "cert").zip(values(config, "key")) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(at(cert), pair.cert.pem()).unwrap();
        fs::write(at(key), pair.signing_key.serialize_pem()).unwrap();
    }
}

/// The standard plugin of that name, or one that takes any config in the place of a reader's own.
fn plugin(file: &str, config: &str) -> Vec<u8> {
    let path = Path::new(file);
    let name = path.file_stem().unwrap().to_str().unwrap().replace('_', "-");
    let own = || match values(config, "verify = { plugin").any(|proof| proof == name) {
        true => guest::verifier_that_accepts(),
        false => guest::keeps(),
    };
    fs::read(plugins_dir().join(path.file_name().unwrap())).unwrap_or_else(|_| own())
}

/// The texts behind `KEY = "`.
fn values<'a>(text: &'a str, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let start = format!("{key} = \"");
    let places: Vec<_> = text.match_indices(&start).map(|(at, _)| at + start.len()).collect();
    places.into_iter().filter_map(|at| text[at..].split('"').next())
}

/// What the reference should give as a key's default; `None` where that is said in words.
fn default(table: &Value, key: &str, property: &Value) -> Option<String> {
    if table["required"].as_array().is_some_and(|required| required.iter().any(|name| name == key)) {
        return Some("required".to_owned());
    }
    match &property["default"] {
        Value::Null | Value::Object(_) => None,
        value => Some(format!("`{}`", value.to_string().replace("\",\"", "\", \""))),
    }
}

fn schema() -> Value {
    serde_json::from_slice(&Setup::new().run(&["schema"]).stdout).unwrap()
}

fn toml_blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    // A block in a list is indented.
    let unindented = |block: &str| {
        let indent = block.len() - block.trim_start_matches(' ').len();
        block.lines().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
    };
    blocks.map(unindented).collect()
}

fn documents() -> Vec<String> {
    markdown().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Folders that tools make, and change while tests of theirs run.
const MADE: [&str; 4] = ["target", "build", "node_modules", ".venv"];

/// Every document of the project.
fn markdown() -> Vec<PathBuf> {
    let roots = ["docs", "examples", "plugins", "plugin-sdk", "tests"];
    let mut found: Vec<_> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_file());
    let mut open: Vec<_> = roots.map(|dir| root().join(dir)).into();
    while let Some(dir) = open.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true if MADE.iter().any(|made| path.ends_with(made)) => {}
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(found.len() >= 18, "only {} documents", found.len());
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

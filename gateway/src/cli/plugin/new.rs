//! `sluice plugin new`: a crate to begin with.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::ValueEnum;

use super::unusable;
use crate::cli::output::print;

/// Makes a crate for a plugin that builds, tests and runs at once.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// What the crate, and the plugin, is called: lower-case letters, digits, `-` and `_`.
    name: String,
    /// What it does with events.
    #[arg(long, value_enum, default_value = "transform")]
    kind: TemplateKind,
    /// The folder to make; by default one of the plugin's name, here. Nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The `plugin-sdk` folder of a checkout of Sluice, to use instead of the published crate.
    #[arg(long, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
}

/// The kinds of plugins, each with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TemplateKind {
    /// Proves who sent a request.
    Verify,
    /// Keeps or drops events.
    Filter,
    /// Makes messages of events.
    Transform,
    /// Folds messages into fewer.
    Batch,
}

/// Makes the crate and says what to do next.
///
/// # Errors
/// If the name cannot be a crate's, something is there already, or the disk says no.
pub(super) fn new(args: &NewArgs) -> anyhow::Result<ExitCode> {
    check_name(&args.name)?;
    let dir = args.path.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let sdk = Sdk::find(args.sdk_path.as_deref())?;
    make_room(&dir)?;
    for (file, text) in files(&args.name, args.kind, &sdk.dependency()) {
        write_new(&dir.join(file), &text)?;
    }
    print(&format!(
        "made `{dir}`, a {kind}{sdk}\nnext: sluice plugin test {dir}\n",
        dir = dir.display(),
        kind = args.kind.called(),
        sdk = sdk.note(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Names that cargo refuses, or that would be in the way of a dependency.
const TAKEN: [&str; 16] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "main",
    "proc-macro",
    "serde",
    "serde_json",
    "self",
    "sluice",
    "sluice-plugin",
    "std",
    "super",
    "test",
];
const MAX_NAME: usize = 64;

fn check_name(name: &str) -> anyhow::Result<()> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let why = if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "it must begin with a lower-case letter".to_owned()
    } else if let Some(other) = name.chars().find(|&c| !known(c)) {
        format!("`{}` is not allowed; use lower-case letters, digits, `-` and `_`", other.escape_default())
    } else if name.len() > MAX_NAME {
        format!("it is longer than {MAX_NAME} letters")
    } else if TAKEN.contains(&name) || is_keyword(name) {
        "it means something else to Rust, to cargo or to the plugin's dependencies; choose another".to_owned()
    } else {
        return Ok(());
    };
    Err(unusable(format!("`{}` cannot be a plugin's name: {why}", name.escape_default())))
}

/// Whether Rust keeps the word for itself.
fn is_keyword(name: &str) -> bool {
    const WORDS: [&str; 48] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
        "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
        "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
        "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where",
        "while",
    ];
    WORDS.contains(&name) || name == "yield"
}

/// Where the crate's `sluice-plugin` comes from.
enum Sdk {
    Published,
    /// Given with `--sdk-path`.
    Given(PathBuf),
    /// That of the checkout which this program was built from, and which is still there.
    Checkout(PathBuf),
}

impl Sdk {
    fn find(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(dir) = given {
            if !dir.join("Cargo.toml").is_file() {
                return Err(unusable(format!(
                    "there is no crate in `{}`; `--sdk-path` takes the folder `plugin-sdk` of a checkout",
                    dir.display()
                )));
            }
            let dir = dir.canonicalize().with_context(|| format!("failed to look up `{}`", dir.display()))?;
            return Ok(Self::Given(dir));
        }
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk");
        match checkout.canonicalize() {
            Ok(dir) if dir.join("Cargo.toml").is_file() => Ok(Self::Checkout(dir)),
            _ => Ok(Self::Published),
        }
    }

    fn dependency(&self) -> String {
        match self {
            Self::Published => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
            Self::Given(dir) | Self::Checkout(dir) => {
                format!("{{ path = {} }}", toml::Value::from(dir.display().to_string()))
            }
        }
    }

    fn note(&self) -> String {
        match self {
            Self::Published | Self::Given(_) => String::new(),
            Self::Checkout(dir) => {
                format!(
                    "; its `sluice-plugin` is the one in `{}`, which this program was built from",
                    dir.display()
                )
            }
        }
    }
}

impl TemplateKind {
    /// What its author calls it.
    fn called(self) -> &'static str {
        match self {
            Self::Verify => "verifier",
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Batch => "batch plugin",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Verify => {
                "It accepts requests whose path and body are signed with one of the route's secrets."
            }
            Self::Filter => "It keeps the events whose type is on a list, and drops the others.",
            Self::Transform => "It makes a chat message of what an issue is called.",
            Self::Batch => "It folds messages into one: a list of them, under a title.",
        }
    }

    /// What a case is made of, but for what is expected.
    fn case(self) -> &'static str {
        match self {
            Self::Verify => "a request and the route's secrets in `request.json`",
            Self::Filter | Self::Transform => "an event in `event.json`, the step's config in `config.json`",
            Self::Batch => "messages in `window.json`, the plugin's config in `config.json`",
        }
    }

    /// An example of a route that uses it, but for where it delivers.
    fn route(self) -> &'static str {
        match self {
            Self::Verify => {
                r#"name = "acme"
path = "/acme"
verify = { plugin = "{name}", secrets = [{ env = "ACME_SECRET" }] }"#
            }
            Self::Filter => {
                r#"name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "{name}", config = { types = ["issues", "push"] } }]"#
            }
            Self::Transform => {
                r#"name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "{name}", config = { channel = "dev" } }]"#
            }
            Self::Batch => {
                r#"name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
batch = { plugin = "{name}", config = { title = "News" }, events = 100, wait = "2s" }"#
            }
        }
    }

    fn more_dependencies(self) -> &'static str {
        match self {
            Self::Verify => "hex = \"0.4\"\n",
            Self::Filter => "serde = { version = \"1\", features = [\"derive\"] }\n",
            Self::Transform | Self::Batch => {
                "serde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n"
            }
        }
    }
}

/// A folder of the templates: the files that depend on the kind.
macro_rules! template {
    ($dir:literal, [$(($place:literal, $file:literal)),+ $(,)?]) => {
        &[$(($place, include_str!(concat!("../../../templates/plugin/", $dir, "/", $file)))),+]
    };
}

impl TemplateKind {
    /// Where each of its own files goes, and what is in it.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Verify => template!(
                "verify",
                [
                    ("src/lib.rs", "lib.rs.in"),
                    ("src/tests.rs", "tests.rs.in"),
                    ("cases/first/request.json", "request.json.in"),
                    ("cases/first/expected.json", "expected.json.in"),
                ]
            ),
            Self::Filter => template!(
                "filter",
                [
                    ("src/lib.rs", "lib.rs.in"),
                    ("src/tests.rs", "tests.rs.in"),
                    ("cases/first/event.json", "event.json.in"),
                    ("cases/first/config.json", "config.json.in"),
                    ("cases/first/expected.json", "expected.json.in"),
                ]
            ),
            Self::Transform => template!(
                "transform",
                [
                    ("src/lib.rs", "lib.rs.in"),
                    ("src/tests.rs", "tests.rs.in"),
                    ("cases/first/event.json", "event.json.in"),
                    ("cases/first/config.json", "config.json.in"),
                    ("cases/first/expected.json", "expected.json.in"),
                ]
            ),
            Self::Batch => template!(
                "batch",
                [
                    ("src/lib.rs", "lib.rs.in"),
                    ("src/tests.rs", "tests.rs.in"),
                    ("cases/first/window.json", "window.json.in"),
                    ("cases/first/config.json", "config.json.in"),
                    ("cases/first/expected.json", "expected.json.in"),
                ]
            ),
        }
    }
}

/// Where each file goes, and what is in it.
fn files(name: &str, kind: TemplateKind, sdk: &str) -> Vec<(&'static str, String)> {
    let fill = |text: &str| {
        text.replace("{route}", kind.route())
            .replace("{name}", name)
            .replace("{file}", &name.replace('-', "_"))
            .replace("{kind}", kind.called())
            .replace("{what}", kind.what())
            .replace("{case}", kind.case())
            .replace("{more}", kind.more_dependencies())
            .replace("{sdk}", sdk)
    };
    let common = [
        ("Cargo.toml", fill(include_str!("../../../templates/plugin/Cargo.toml.in"))),
        (".cargo/config.toml", include_str!("../../../templates/plugin/cargo-config.toml.in").to_owned()),
        (".gitignore", include_str!("../../../templates/plugin/gitignore.in").to_owned()),
        ("README.md", fill(include_str!("../../../templates/plugin/README.md.in"))),
    ];
    let own = kind.files().iter().map(|(place, text)| (*place, (*text).to_owned()));
    common.into_iter().chain(own).collect()
}

/// Makes the folder, or takes an empty one.
fn make_room(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("failed to make `{}`", dir.display()))?;
    let mut inside = fs::read_dir(dir).with_context(|| format!("failed to look into `{}`", dir.display()))?;
    match inside.next() {
        None => Ok(()),
        Some(_) => Err(unusable(format!(
            "`{}` is not empty, and nothing is overwritten; `--path DIR` names another folder",
            dir.display()
        ))),
    }
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create_new(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("failed to write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, path: &Path) -> NewArgs {
        NewArgs { name: name.into(), kind: TemplateKind::Filter, path: Some(path.to_owned()), sdk_path: None }
    }

    #[test]
    fn names_that_cargo_takes_are_taken() {
        for name in ["a", "issue-filter", "to_chat2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused_with_the_reason() {
        let why = |name: &str| check_name(name).unwrap_err().to_string();
        assert!(why("").contains("begin with a lower-case letter"));
        assert!(why("2chat").contains("begin with a lower-case letter"));
        assert!(why("to/../../etc").contains("`/` is not allowed"));
        assert!(why("serde").contains("means something else"));
        assert!(why("match").contains("means something else"));
        assert!(why(&"x".repeat(65)).contains("longer than 64"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "1").unwrap();
        let refused = new(&args("a", dir.path())).unwrap_err();
        assert!(refused.to_string().contains("is not empty"), "{refused}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_template_is_under_20_lines_of_code_and_has_no_gap_left() {
        for kind in TemplateKind::value_variants() {
            let files = files("my-plugin", *kind, "\"1\"");
            let (_, lib) = files.iter().find(|(file, _)| *file == "src/lib.rs").unwrap();
            let code = lib.split("#[cfg(test)]").next().unwrap().lines().map(str::trim);
            assert!(code.filter(|line| !line.is_empty() && !line.starts_with("//")).count() < 20, "{lib}");
            for (file, text) in &files[..4] {
                for gap in ["{name}", "{file}", "{kind}", "{what}", "{case}", "{route}", "{more}", "{sdk}"] {
                    assert!(!text.contains(gap), "{file}: {gap}");
                }
            }
        }
    }

    #[test]
    fn a_template_has_a_case_and_a_route_to_use_it_on() {
        for kind in TemplateKind::value_variants() {
            let files = files("my-plugin", *kind, "\"1\"");
            let has = |wanted: &str| files.iter().any(|(file, _)| *file == wanted);
            assert!(has("cases/first/expected.json"), "{kind:?}");
            let readme = &files.iter().find(|(file, _)| *file == "README.md").unwrap().1;
            let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
            assert!(toml::from_str::<toml::Table>(example).is_ok(), "{kind:?}\n{example}");
        }
    }

    #[test]
    fn a_folder_that_is_no_crate_is_no_sdk() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Sdk::find(Some(dir.path())).err().unwrap();
        assert!(refused.to_string().contains("there is no crate in"), "{refused}");
    }

    #[test]
    fn the_published_sdk_is_that_of_this_release() {
        assert_eq!(Sdk::Published.dependency(), format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    }
}

//! Bodies: GitHub's own examples, and made-up ones of an exact size.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use serde_json::Value;

/// One of GitHub's example payloads, kept in `tests/fixtures/github`.
#[derive(Clone, Debug)]
pub struct Example {
    /// `issues.opened.15`
    pub name: String,
    /// What GitHub says in `x-github-event`.
    pub event: String,
    pub body: Bytes,
}

impl Example {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("example is JSON")
    }
}

/// All examples, by name.
///
/// # Panics
/// If they cannot be read.
pub fn github_examples() -> Vec<Example> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/github");
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = files.map(|file| file.expect("directory can be read").path());
    let mut examples: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "json")).map(example).collect();
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    examples
}

/// The example of that name.
///
/// # Panics
/// If there is none.
pub fn github_example(name: &str) -> Example {
    let found = github_examples().into_iter().find(|example| example.name == name);
    found.unwrap_or_else(|| panic!("no example `{name}`"))
}

/// A GitHub `issues` body of exactly `size` bytes; of five variants in a row, four are `opened`.
///
/// # Panics
/// If `size` is below what such a body needs, about 350 bytes.
pub fn issue(variant: usize, size: usize) -> Bytes {
    let action = if variant % 5 == 4 { "closed" } else { "opened" };
    let number = 1000 + variant;
    let head = format!(
        r#"{{"action":"{action}","issue":{{"url":"https://api.github.com/repos/octo/hello/issues/{number}","html_url":"https://github.com/octo/hello/issues/{number}","number":{number},"title":"Spelling error in chapter {variant}","user":{{"login":"octocat","id":21031067}},"state":"open","body":""#
    );
    let tail = r#""},"repository":{"id":186853002,"full_name":"octo/hello","private":false},"sender":{"login":"octocat","id":21031067}}"#;
    let padding = size.checked_sub(head.len() + tail.len()).expect("size has room for an issue");
    let text = "It looks like you accidentally spelled it with two t's. ".chars().cycle().take(padding);
    Bytes::from(head.chars().chain(text).chain(tail.chars()).collect::<String>())
}

fn example(path: PathBuf) -> Example {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let event = name.split('.').next().unwrap_or_default().to_owned();
    let body = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Example { name, event, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_have_the_size_asked_for_and_four_in_five_are_opened() {
        let issues: Vec<_> = (0..500).map(|variant| issue(variant, 1024)).collect();
        assert!(issues.iter().all(|body| body.len() == 1024));
        let actions =
            issues.iter().map(|body| serde_json::from_slice::<Value>(body).unwrap()["action"].take());
        assert_eq!(actions.filter(|action| action == "opened").count(), 400);
    }

    #[test]
    fn examples_are_json_and_named_by_event() {
        let examples = github_examples();
        assert!(examples.len() >= 12);
        let issue = examples.iter().find(|example| example.name == "issues.opened.15").unwrap();
        assert_eq!((issue.event.as_str(), &issue.json()["action"]), ("issues", &Value::from("opened")));
    }
}

//! The Debian mirror this machine is configured to use, read from apt's own files.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// A mirror of Debian's own archive.
#[derive(Debug, PartialEq)]
pub(super) struct Mirror {
    uri: String,
    /// The key file that its entry is bound to.
    signed_by: Option<String>,
}

impl Mirror {
    /// The first mirror in apt's files that carries this machine's Debian release.
    pub(super) fn configured() -> Result<Self> {
        let os = fs::read_to_string("/etc/os-release").context("failed to read `/etc/os-release`")?;
        let release = release(&os).context("`/etc/os-release` names no release, so this is not Debian")?;
        source_files()
            .iter()
            .filter_map(|path| {
                let text = fs::read_to_string(path).ok()?;
                let deb822 = path.extension().is_some_and(|extension| extension == "sources");
                if deb822 { Self::in_deb822(&text, release) } else { Self::in_list(&text, release) }
            })
            .next()
            .with_context(|| format!("no source in `/etc/apt` carries Debian {release}"))
    }

    /// An entry of `sources.list` that has the mirror, but another suite.
    pub(super) fn source_line(&self, suite: &str) -> String {
        let options = self.signed_by.as_ref().map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
        format!("deb {options}{} {suite} main\n", self.uri)
    }

    /// Reads the one-line format: `deb [option=value …] URI SUITE COMPONENT…`.
    fn in_list(text: &str, release: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let entry = line.trim().strip_prefix("deb")?;
            let entry = entry.strip_prefix(char::is_whitespace)?.trim_start();
            let (options, entry) = match entry.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => ("", entry),
            };
            let mut words = entry.split_whitespace();
            let (uri, suite) = (words.next()?, words.next()?);
            let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
            (suite == release && words.any(|component| component == "main"))
                .then(|| Self { uri: uri.to_owned(), signed_by: signed_by.map(str::to_owned) })
        })
    }

    /// Reads the stanza format: `Key: value` lines, stanzas apart by an empty line.
    fn in_deb822(text: &str, release: &str) -> Option<Self> {
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        text.split(|line| line.trim().is_empty()).find_map(|stanza| {
            let words = |key| field(stanza, key).unwrap_or_default().split_whitespace();
            let ours = words("types").any(|kind| kind == "deb")
                && words("enabled").all(|value| value != "no")
                && words("suites").any(|suite| suite == release)
                && words("components").any(|component| component == "main");
            let uri = words("uris").next().filter(|_| ours)?.to_owned();
            // The field may also hold a key itself; apt then falls back to the keys that it trusts anyway.
            let signed_by = words("signed-by").next().filter(|key| key.starts_with('/'));
            Some(Self { uri, signed_by: signed_by.map(str::to_owned) })
        })
    }
}

fn field<'a>(stanza: &[&'a str], key: &str) -> Option<&'a str> {
    stanza.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case(key).then_some(value)
    })
}

fn release(os: &str) -> Option<&str> {
    os.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).map(|name| name.trim_matches('"'))
}

fn source_files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(parts.flatten().map(|part| part.path()));
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(uri: &str, signed_by: Option<&str>) -> Option<Mirror> {
        Some(Mirror { uri: uri.to_owned(), signed_by: signed_by.map(str::to_owned) })
    }

    #[test]
    fn one_line_entry_is_read() {
        let text = "# deb http://old.example/debian bookworm main\n\
                    deb-src http://src.example/debian bookworm main\n\
                    deb http://other.example/apt tools-bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib\n";
        assert_eq!(Mirror::in_list(text, "bookworm"), mirror("http://mirror.example/debian", Some("/k.gpg")));
        assert_eq!(Mirror::in_list(text, "trixie"), None);
    }

    #[test]
    fn stanza_is_read() {
        let text = "Types: deb\nURIs: http://other.example/apt\nSuites: nodistro\nComponents: main\n\n\
                    Types: deb\n# a comment\nURIs: http://mirror.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
        assert_eq!(
            Mirror::in_deb822(text, "bookworm"),
            mirror("http://mirror.example/debian", Some("/k.gpg"))
        );
        assert_eq!(Mirror::in_deb822(text, "trixie"), None);
    }

    #[test]
    fn disabled_stanza_is_not_used() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\n";
        assert_eq!(Mirror::in_deb822(text, "bookworm"), None);
    }

    #[test]
    fn source_line_names_mirror_suite_and_key() {
        let line = mirror("http://mirror.example/debian", Some("/k.gpg")).unwrap().source_line("sid");
        assert_eq!(line, "deb [signed-by=/k.gpg] http://mirror.example/debian sid main\n");
    }

    #[test]
    fn release_is_read_from_os_release() {
        assert_eq!(release("NAME=\"Debian\"\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
    }
}

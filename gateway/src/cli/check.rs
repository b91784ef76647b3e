//! `sluice check`: everything that `run` does short of listening.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::config::{Config, ProcessEnv, Report};

/// Checks a config file and everything it names.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The config file.
    #[arg(short, long, value_name = "FILE", env = "SLUICE_CONFIG", default_value = "sluice.toml")]
    pub config: PathBuf,
}

/// Prints every warning and error to stderr and, if there is no error, a summary to stdout. `verify_rest` loads
/// what the config names, above all the plugins, and says what is worth a note.
///
/// Exits with 0, or with 2 if there is an error.
pub fn check(
    args: &CheckArgs,
    verify_rest: impl FnOnce(&Config) -> Result<Vec<String>, Vec<Report>>,
) -> ExitCode {
    let color =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let outcome = outcome(args, verify_rest, color);
    // A closed pipe is no reason to fail.
    let _ = io::stderr().write_all(outcome.stderr.as_bytes());
    let _ = io::stdout().write_all(outcome.stdout.as_bytes());
    outcome.code.into()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    stdout: String,
    stderr: String,
    code: u8,
}

fn outcome(
    args: &CheckArgs,
    verify_rest: impl FnOnce(&Config) -> Result<Vec<String>, Vec<Report>>,
    color: bool,
) -> Outcome {
    let (config, warnings) = match Config::load(&args.config, &ProcessEnv) {
        Ok(loaded) => loaded,
        Err(report) => {
            let stderr = format!("{}\n\n{}\n", report.render(color), summary(&args.config, report.errors()));
            return Outcome { stderr, code: 2, ..Outcome::default() };
        }
    };
    let mut stderr: String =
        warnings.iter().map(|warning| format!("{}\n\n", warning.render(color))).collect();
    match verify_rest(&config) {
        Ok(notes) => stderr.extend(notes.iter().map(|note| format!("note: {note}\n\n"))),
        Err(reports) => {
            stderr.extend(reports.iter().map(|report| format!("{}\n\n", report.render(color))));
            let errors = reports.iter().map(Report::errors).sum();
            stderr += &format!("{}\n", summary(&args.config, errors));
            return Outcome { stderr, code: 2, ..Outcome::default() };
        }
    }
    let stdout = format!(
        "ok: {}, {}, {}\n",
        count(config.routes.len(), "route"),
        count(config.plugins.len(), "plugin"),
        count(config.destinations.len(), "destination"),
    );
    Outcome { stdout, stderr, code: 0 }
}

fn summary(path: &std::path::Path, errors: usize) -> String {
    format!("`{}` has {}", path.display(), count(errors, "error"))
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{About, Mistake};

    const GOOD: &str = r#"
        [destinations.tracker]
        url = "http://127.0.0.1:1/"

        [[routes]]
        name = "github"
        path = "/github"
        verify = "none"
        deliver = ["tracker"]
    "#;

    fn run(text: &str, rest: &[&str]) -> Outcome {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("sluice.toml");
        std::fs::write(&config, text).unwrap();
        let rest = |config: &Config| match rest {
            [] => Ok(vec!["plugin `a` imports `kv`".to_owned()]),
            messages => Err(messages.iter().map(|message| of_whole(config, message)).collect()),
        };
        outcome(&CheckArgs { config }, rest, false)
    }

    fn of_whole(config: &Config, message: &str) -> Report {
        config.report([Mistake { message: message.to_owned(), about: About::Whole }])
    }

    #[test]
    fn a_good_config_is_counted_and_its_warnings_are_shown() {
        let outcome = run(GOOD, &[]);
        assert_eq!((&*outcome.stdout, outcome.code), ("ok: 1 route, 0 plugins, 1 destination\n", 0));
        assert!(outcome.stderr.starts_with("warning: route `github` takes in what anybody sends\n"));
        assert!(outcome.stderr.ends_with("note: plugin `a` imports `kv`\n\n"), "{}", outcome.stderr);
    }

    #[test]
    fn a_bad_config_exits_with_2_and_keeps_stdout_empty() {
        let outcome = run(&GOOD.replace("deliver", "delivr"), &[]);
        assert_eq!((&*outcome.stdout, outcome.code), ("", 2));
        assert!(outcome.stderr.contains("error: unknown key `delivr`"));
        assert!(outcome.stderr.ends_with("has 1 error\n"), "{}", outcome.stderr);
    }

    #[test]
    fn what_is_wrong_beyond_the_file_exits_with_2() {
        let outcome = run(GOOD, &["plugin `a` speaks contract 2.0"]);
        assert_eq!((&*outcome.stdout, outcome.code), ("", 2));
        assert!(outcome.stderr.contains("\nerror: plugin `a` speaks contract 2.0\n"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let outcome =
            outcome(&CheckArgs { config: "/nowhere/sluice.toml".into() }, |_| Ok(Vec::new()), false);
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.starts_with("error: failed to read `/nowhere/sluice.toml`: No such file"));
    }
}

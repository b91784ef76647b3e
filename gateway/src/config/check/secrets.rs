//! Secrets: found, read and never shown.

use std::{
    fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{Checker, all, unreadable};
use crate::{
    clock::Timestamp,
    config::{Secret, field::Field, literal::Text, names::Variable, raw, report::Problem},
};

/// No secret is larger; it keeps a wrong path such as `/dev/zero` from being read for ever.
const MAX_SECRET: u64 = 64 << 10;

impl Checker<'_> {
    /// A list of secrets that must hold one at least.
    pub(super) fn secrets(
        &mut self,
        field: Option<Field<Vec<Field<raw::Secret>>>>,
        table: &Range<usize>,
    ) -> Option<Vec<(Range<usize>, Secret)>> {
        let Field { span, value } =
            self.required(field, "secrets", table, "a list such as `[{ env = \"…\" }]`")?;
        let fields = value?;
        if fields.is_empty() {
            let problem = Problem::error("the list of secrets is empty");
            self.problems.push(problem.at(&span).hint("add one, such as `{ env = \"…\" }`"));
        }
        let secrets: Vec<_> =
            fields.into_iter().map(|field| (field.span.clone(), self.secret(field))).collect();
        secrets.into_iter().map(|(span, secret)| Some((span, secret?))).collect()
    }

    pub(super) fn secret(&mut self, field: Field<raw::Secret>) -> Option<Secret> {
        let span = field.span;
        match field.value? {
            raw::Secret::String(text) => self.inline_secret(&text, &span),
            raw::Secret::Table(raw::SecretTable { env, file, valid_from, valid_until }) => {
                let bytes = self.secret_bytes(env, file, &span);
                let valid = self.validity(valid_from, valid_until, &span);
                let ((bytes, origin), (from, until)) = (bytes?, valid?);
                Some(Secret::new(bytes, origin).valid_between(from, until))
            }
        }
    }

    /// The bearer token of the admin listener, which has to fit a header.
    pub(super) fn token(&mut self, field: Field<raw::Secret>) -> Option<Secret> {
        let span = field.span.clone();
        let token = self.secret(field)?;
        if !token.expose().iter().all(u8::is_ascii_graphic) {
            let problem = Problem::error("the token holds characters that cannot be sent in a header");
            self.problems
                .push(problem.at(&span).hint("use letters and digits, as `openssl rand -hex 32` gives"));
            return None;
        }
        Some(token)
    }

    /// What a variable or a file holds, and where it came from. Exactly one of them must be given.
    pub(super) fn secret_bytes(
        &mut self,
        env: Option<Text<Variable>>,
        file: Option<Text<PathBuf>>,
        table: &Range<usize>,
    ) -> Option<(Vec<u8>, String)> {
        match (env, file) {
            (Some(env), None) => self.read_env(env),
            (None, Some(file)) => self.read_file(file),
            (Some(_), Some(file)) => {
                let problem = Problem::error("both `env` and `file` are given").at(&file.span);
                self.problems.push(problem.hint("keep the one that holds the secret"));
                None
            }
            (None, None) => {
                let problem = Problem::error("nothing says where the secret is").at(table);
                self.problems.push(problem.hint("write `{ env = \"NAME\" }` or `{ file = \"PATH\" }`"));
                None
            }
        }
    }

    fn inline_secret(&mut self, text: &str, span: &Range<usize>) -> Option<Secret> {
        let warning = Problem::warning("a secret is written in the config file").at(span);
        self.problems.push(warning.hint("keep it elsewhere: `{ env = \"NAME\" }` or `{ file = \"PATH\" }`"));
        if text.is_empty() {
            self.problems.push(Problem::error("the secret is empty").at(span));
            return None;
        }
        Some(Secret::new(text.as_bytes(), "inline"))
    }

    fn read_env(&mut self, field: Text<Variable>) -> Option<(Vec<u8>, String)> {
        let span = field.span.clone();
        let Variable(name) = field.parsed()?;
        let problem = match self.env.var(&name) {
            Some(value) if !value.is_empty() => {
                return Some((value.into_encoded_bytes(), format!("env {name}")));
            }
            Some(_) => format!("environment variable `{name}` is empty"),
            None => format!("environment variable `{name}` is not set"),
        };
        self.problems.push(Problem::error(problem).at(&span).hint("set it where the gateway is started"));
        None
    }

    fn read_file(&mut self, field: Text<PathBuf>) -> Option<(Vec<u8>, String)> {
        let span = field.span.clone();
        let path = self.dir.join(field.parsed()?);
        self.files.push(path.clone());
        let problem = match read_secret(&path) {
            Ok(bytes) if bytes.is_empty() => {
                Problem::error(format!("secret file `{}` is empty", path.display()))
            }
            Ok(bytes) if bytes.len() as u64 > MAX_SECRET => {
                let message = format!("secret file `{}` is larger than the limit of 64KiB", path.display());
                Problem::error(message).hint("name a file that holds the secret and nothing else")
            }
            Ok(bytes) => return Some((bytes, format!("file {}", path.display()))),
            Err(error) => unreadable("secret file", &path, &error),
        };
        self.problems.push(problem.at(&span));
        None
    }

    fn validity(
        &mut self,
        from: Option<Field<raw::Moment>>,
        until: Option<Field<raw::Moment>>,
        table: &Range<usize>,
    ) -> Option<Validity> {
        let from = all(from.map(|field| field.value))?.map(|moment| moment.0);
        let until = all(until.map(|field| field.value))?.map(|moment| moment.0);
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            let problem = Problem::error("the secret never counts: `valid_until` is not after `valid_from`");
            self.problems.push(problem.at(table));
            return None;
        }
        Some((from, until))
    }
}

/// From when and until when a secret counts.
type Validity = (Option<Timestamp>, Option<Timestamp>);

/// The file's bytes without one line break at the end; one byte more than the limit if it is larger.
fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_SECRET + 1).read_to_end(&mut bytes)?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok(bytes)
}

//! `sluice plugin inspect`: what a file is, before anything of it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bytesize::ByteSize;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{step, unusable};
use crate::{
    cli::output::{print, print_json, printable},
    plugin::{CONTRACT_VERSION, Form, Inspection},
    telemetry::Chain,
};

/// Tells what a plugin's file is, what it needs, and whether this gateway would run it.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A `.wasm` file.
    file: PathBuf,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// What is told of a file.
#[derive(Debug, Serialize)]
struct Facts {
    file: PathBuf,
    /// For the config's pin.
    sha256: String,
    /// In bytes.
    size: u64,
    #[serde(flatten)]
    inspection: Inspection,
    /// What it imports and the config would have to grant.
    grants: Vec<&'static str>,
    gateway_contract: &'static str,
    /// Why this gateway would not run it.
    refused: Option<String>,
}

/// More memory at the start than this is a stack of Rust's usual size.
const ROOMY: u64 = 1 << 20;
const ROOMY_HINT: &str = "mostly a stack of Rust's usual size; `-Clink-arg=-zstack-size=32768` in \
    .cargo/config.toml makes a fresh instance much cheaper (RUSTFLAGS in the environment overrides that file)";

const EMPTY: &str = "which have no files, no network, no arguments and no environment here";

/// 1 if this gateway would not run it.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let facts = Facts::of(&args.file)?;
    match args.json {
        true => print_json(&serde_json::to_vec_pretty(&facts)?)?,
        false => print(&facts.text())?,
    }
    Ok(if facts.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what a file is; whether this gateway would run it.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn show(file: &Path) -> anyhow::Result<bool> {
    let facts = Facts::of(file)?;
    print(&facts.text())?;
    Ok(facts.refused.is_none())
}

impl Facts {
    fn of(file: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(file)
            .map_err(|error| unusable(format!("failed to read `{}`: {error}", file.display())))?;
        let admitted = step::host()?.admit(&step::plugin(file));
        let inspection = Inspection::of(&bytes);
        Ok(Self {
            file: file.to_owned(),
            sha256: hex::encode(Sha256::digest(&bytes)),
            size: bytes.len() as u64,
            grants: inspection.grants(),
            inspection,
            gateway_contract: CONTRACT_VERSION,
            refused: admitted.err().map(|error| Chain(&error).to_string()),
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", printable(&self.file.display().to_string()));
        for (name, value) in self.lines() {
            text += &format!("  {name:10}{}\n", printable(&value));
        }
        text
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let inspection = &self.inspection;
        let mut lines = vec![
            ("kind", listed(inspection.kinds.iter().map(ToString::to_string), "none")),
            ("contract", format!("{}; this gateway has {}", self.contract(), self.gateway_contract)),
            ("form", form(inspection.form).to_owned()),
            ("size", format!("{}, code {}", iec(self.size), iec(inspection.code))),
            ("memory", format!("{} at the start", iec(inspection.memory))),
        ];
        if inspection.memory > ROOMY && inspection.form == Form::Module {
            lines.push(("", ROOMY_HINT.to_owned()));
        }
        let own = inspection.imports.iter().filter(|name| !inspection.wasi_imports.contains(name));
        lines.push(("imports", listed(own.cloned(), "nothing")));
        if !inspection.wasi_imports.is_empty() {
            lines.push(("", format!("of WASI: {} interfaces, {EMPTY}", inspection.wasi_imports.len())));
        }
        if !inspection.foreign_imports.is_empty() {
            lines.push(("", format!("not here: {}", listed(inspection.foreign_imports.iter().cloned(), ""))));
        }
        lines.extend([
            ("exports", listed(inspection.exports.iter().cloned(), "nothing")),
            ("grants", self.grants()),
            ("sha256", self.sha256.clone()),
            ("runs here", self.refused.as_ref().map_or("yes".to_owned(), |why| format!("no: {why}"))),
        ]);
        lines
    }

    fn grants(&self) -> String {
        match self.grants.join(", ") {
            none if none.is_empty() => "needs none".to_owned(),
            names => format!("{names}: what the config does not grant is `denied` when it is called"),
        }
    }

    fn contract(&self) -> String {
        let versions = self.inspection.contracts.iter().map(|version| format!("sluice:plugin@{version}"));
        listed(versions, "none")
    }
}

/// The most names of a list that are shown.
const MAX_LISTED: usize = 20;

fn listed(names: impl Iterator<Item = String>, none: &str) -> String {
    let names: Vec<_> = names.collect();
    match names.len() {
        0 => none.to_owned(),
        1..=MAX_LISTED => names.join(", "),
        more => format!("{}, and {} more", names[..MAX_LISTED].join(", "), more - MAX_LISTED),
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Component => "component",
        Form::Module => "core module, made a component when it is loaded",
        Form::Precompiled => "compiled already",
        Form::Unknown => "no WebAssembly",
    }
}

fn iec(bytes: u64) -> impl std::fmt::Display {
    ByteSize::b(bytes).display().iec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::fixtures::{self, Wat};

    fn facts(bytes: &[u8]) -> Facts {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("guest.wasm");
        fs::write(&file, bytes).unwrap();
        Facts::of(&file).unwrap()
    }

    #[test]
    fn a_good_plugin_is_told_whole() {
        let facts = facts(&fixtures::filter("(call $ok)"));
        let text = facts.text();
        for part in
            ["kind      filter\n", "192.0 KiB at the start", "grants    needs none", "runs here yes\n"]
        {
            assert!(text.contains(part), "`{part}` is missing from\n{text}");
        }
        assert_eq!(facts.sha256.len(), 64);
    }

    #[test]
    fn what_would_be_refused_is_told_with_the_reason() {
        let other = facts(&Wat { version: "9.0.0", ..Wat::default() }.module());
        assert!(other.text().contains("sluice:plugin@9.0.0; this gateway has"), "{}", other.text());
        assert!(other.refused.as_ref().is_some_and(|why| why.contains("speaks sluice:plugin@9.0.0")));
        let files = facts(&Wat { fields: r#"(import "env" "open" (func))"#, ..Wat::default() }.module());
        assert!(files.text().contains("not here: env.open\n"), "{}", files.text());
        for bytes in [&b"no wasm"[..], b"", b"\0asm\x01\0\0\0"] {
            assert!(facts(bytes).refused.is_some(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_to_be_granted_is_told() {
        let fields = r#"(import "sluice:plugin/kv@1.0.0" "get" (func (param i32 i32 i32)))"#;
        let facts = facts(&Wat { fields, ..Wat::default() }.module());
        assert_eq!(facts.grants, ["kv"]);
        assert!(facts.text().contains("grants    kv: what the config does not grant"), "{}", facts.text());
    }

    #[test]
    fn a_large_stack_is_pointed_out() {
        let roomy = facts(&Wat { fields: "(memory 20)", ..Wat::default() }.module());
        assert!(roomy.text().contains("zstack-size"), "{}", roomy.text());
    }

    #[test]
    fn a_file_that_is_not_there_is_bad_usage() {
        let refused = Facts::of(Path::new("/nowhere/a.wasm")).unwrap_err();
        assert!(refused.is::<super::super::Unusable>());
        assert!(refused.to_string().contains("`/nowhere/a.wasm`: No such file"), "{refused}");
    }
}

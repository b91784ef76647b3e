//! The page of providers of the documentation: `docs/providers.md`.

use super::words;
use crate::verify::scheme::{Field, Fields, Preset, Scheme, presets};

const HEAD: &str = "\
# Providers

<!-- Written by `cargo xtask providers` from gateway/src/verify/presets.toml; do not edit. -->

A route names its provider: `verify = { preset = \"stripe\", secrets = [{ env = \"STRIPE_SECRET\" }] }`.
`sluice presets show stripe` says the same as this page and prints a route to paste; `sluice verify explain` checks a \
captured request; `sluice send` signs one.
A provider that is not here can be [written out](reference/configuration.md#verification) in the config.

| Provider | Preset | Proof | Proof in | Delivery id | Handshake | The route says |
|---|---|---|---|---|---|---|
";

/// The page, in Markdown.
pub fn page() -> String {
    let rows = presets().map(row);
    let sections = presets().map(section);
    HEAD.to_owned() + &rows.collect::<String>() + &sections.collect::<String>()
}

fn row(preset: &Preset) -> String {
    let Preset { name, scheme, .. } = preset;
    let handshake = if scheme.common.handshake.is_empty() { "" } else { "yes" };
    let cells = [
        provider(preset).to_owned(),
        format!("[`{name}`](#{name})"),
        words::family(scheme),
        proof_in(scheme),
        places(&scheme.common.id),
        handshake.to_owned(),
        words::needs(scheme).join(", "),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn provider(preset: &Preset) -> &str {
    if preset.about.provider.is_empty() { &preset.name } else { &preset.about.provider }
}

fn proof_in(scheme: &Scheme) -> String {
    use crate::verify::scheme::Family;
    match &scheme.family {
        Family::Signature(signature) => places(&signature.signature.from),
        Family::Jws(jws) => format!("`{}`", jws.from),
        Family::Token(token) => places(&token.from),
        Family::Basic(_) => "`header:authorization`".to_owned(),
        Family::Rfc9421(_) => "`header:signature`, `header:signature-input`".to_owned(),
        Family::None {} => String::new(),
    }
}

/// In a cell: long lists are cut, and the sections have them whole.
fn places(fields: &Fields) -> String {
    let shown: Vec<_> = fields.iter().take(2).map(|field: &Field| format!("`{field}`")).collect();
    let more = if fields.iter().count() > shown.len() { ", …" } else { "" };
    shown.join(", ") + more
}

fn section(preset: &Preset) -> String {
    let Preset { name, about, scheme } = preset;
    let mut text = format!("\n## {name}\n\n");
    if !about.provider.is_empty() {
        text += &format!("{}{}\n\n", about.provider, aliases(&about.aliases));
    }
    let said = [words::proof(scheme), words::details(scheme), vec![words::answer(scheme)]].concat();
    said.iter().filter(|line| !line.is_empty()).for_each(|line| text += &format!("- {line}\n"));
    words::handshakes(scheme).for_each(|line| text += &format!("- {line}\n"));
    for (name, var) in &scheme.common.vars {
        text += &format!("- `vars.{name}`: {}\n", var.about);
    }
    about.notes.iter().for_each(|note| text += &format!("- {}\n", note.trim()));
    if !about.setup.is_empty() {
        text += &format!("\n{}\n", about.setup.trim());
    }
    if !about.docs.is_empty() {
        text += &format!(
            "\n{}\n",
            about.docs.iter().map(|url| format!("<{url}>")).collect::<Vec<_>>().join(", ")
        );
    }
    text
}

fn aliases(aliases: &[String]) -> String {
    if aliases.is_empty() { String::new() } else { format!(", also `{}`", aliases.join("`, `")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_repository_is_up_to_date() {
        let kept = include_str!("../../../../docs/providers.md");
        assert!(kept == page(), "docs/providers.md is stale: run `cargo xtask providers`");
    }
}

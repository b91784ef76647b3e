//! All that is known of one preset.

use super::{route::route, words};
use crate::verify::scheme::{Preset, Var};

/// The text of `sluice presets show`.
pub(super) fn sheet(preset: &Preset) -> String {
    let mut text = title(preset);
    section(&mut text, "Proof", words::proof(&preset.scheme));
    section(&mut text, "Events", words::details(&preset.scheme));
    section(&mut text, "Answers", [words::answer(&preset.scheme)]);
    section(&mut text, "Handshakes", words::handshakes(&preset.scheme));
    section(&mut text, "Values", preset.scheme.common.vars.iter().map(var));
    section(&mut text, "Setup", lines(&preset.about.setup));
    section(&mut text, "Notes", preset.about.notes.iter().flat_map(|note| lines(note)));
    section(&mut text, "Documentation", preset.about.docs.iter().cloned());
    section(&mut text, "Route", lines(&route(preset)));
    text
}

fn title(preset: &Preset) -> String {
    let about = &preset.about;
    let provider = if about.provider.is_empty() { String::new() } else { format!(": {}", about.provider) };
    let aliases = match about.aliases.is_empty() {
        true => String::new(),
        false => format!(" (also {})", about.aliases.join(", ")),
    };
    format!("{}{provider}{aliases}\n", preset.name)
}

/// A headed list; nothing at all where there is nothing to say.
fn section(text: &mut String, head: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_some() {
        *text += &format!("\n{head}\n");
    }
    lines.for_each(|line| *text += &format!("  {line}\n"));
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::to_owned)
}

fn var((name, var): (&String, &Var)) -> String {
    let what = match (var.default.is_empty(), var.optional) {
        (false, _) => format!(" (default: {})", var.default.join(", ")),
        (true, true) => " (optional)".to_owned(),
        (true, false) => String::new(),
    };
    format!("vars.{name}: {}{what}", var.about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::scheme::preset;

    #[test]
    fn a_sheet_has_a_section_for_all_there_is_to_say() {
        let text = sheet(preset("meta").unwrap());
        for head in ["Proof", "Events", "Answers", "Handshakes", "Values", "Route"] {
            assert!(text.contains(&format!("\n\n{head}\n  ")), "no {head} in\n{text}");
        }
        assert!(text.contains("vars.verify_token: the verify token"), "{text}");
    }
}

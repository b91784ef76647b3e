//! How an event's values get into a message.

use sluice_plugin::Error;
use templates::{Facts, Template};

/// How an event's values get into a message. The operator's own text is left as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insert {
    /// Whether `&`, `<` and `>` in values are escaped where Slack reads markup: `<!channel>` would call everybody.
    pub(crate) escape: bool,
    /// How many characters of a value are taken, before it is escaped.
    pub(crate) max_value: usize,
}

impl Insert {
    /// The text of a template. `markup` says whether Slack reads it as mrkdwn.
    pub(crate) fn fill(self, template: &Template, markup: bool, facts: &Facts<'_>) -> Result<String, Error> {
        let text = template.text_with(facts, &|value, out| {
            let (value, cut) = self.cut(value);
            if markup && self.escape {
                escape(value, out);
            } else {
                out.push_str(value);
            }
            if cut {
                out.push('…');
            }
        })?;
        Ok(text.unwrap_or_default())
    }

    /// As much of a value as is taken, and whether that is less than all of it.
    fn cut(self, value: &str) -> (&str, bool) {
        match value.char_indices().nth(self.max_value) {
            Some((end, _)) => (&value[..end], true),
            None => (value, false),
        }
    }
}

fn escape(value: &str, out: &mut String) {
    for char in value.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            char => out.push(char),
        }
    }
}

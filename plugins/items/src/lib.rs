//! How the batch plugins write an item: its body as it came, or in an envelope that says what it is.

use serde::Deserialize;
use sluice_plugin::{Error, Item, json::Raw};

/// The form of an item.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form {
    /// Whether there is an envelope around the body.
    pub envelope: bool,
    /// What becomes of a body that is not JSON.
    pub not_json: NotJson,
}

/// What becomes of a body that is not JSON.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotJson {
    /// The item is invalid.
    #[default]
    Refuse,
    /// It becomes a JSON string, if it is text.
    Text,
}

impl Form {
    /// Writes an item as JSON on one line, without the line's end. Values stay as they were written.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a body that can't be embedded.
    pub fn write(self, item: &Item<'_>, out: &mut String) -> Result<(), Error> {
        if !self.envelope {
            return self.write_body(item, out);
        }
        out.push_str(r#"{"id":"#);
        quote(&item.webhook_id(), out)?;
        out.push_str(r#","received_at":"#);
        quote(&moments::rfc3339(item.received_ms()), out)?;
        if let Some(key) = item.key() {
            out.push_str(r#","key":"#);
            quote(&key, out)?;
        }
        out.push_str(r#","body":"#);
        self.write_body(item, out)?;
        out.push('}');
        Ok(())
    }

    fn write_body(self, item: &Item<'_>, out: &mut String) -> Result<(), Error> {
        let body = item.body();
        match (Raw::parse(&body), self.not_json) {
            (Ok(json), _) => write_on_one_line(json.json(), out),
            (Err(_), NotJson::Text) => quote(body.text()?, out)?,
            (Err(error), NotJson::Refuse) => return Err(error),
        }
        Ok(())
    }
}

/// Line breaks in JSON are white space between its parts: in strings they are escaped.
fn write_on_one_line(json: &str, out: &mut String) {
    let mut lines = json.split(['\n', '\r']);
    out.push_str(lines.next().unwrap_or_default());
    for line in lines {
        out.push(' ');
        out.push_str(line);
    }
}

fn quote(text: &str, out: &mut String) -> Result<(), Error> {
    out.push_str(&serde_json::to_string(text)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use sluice_plugin::{ItemBuilder, Window};

    use super::*;

    fn written(form: Form, item: ItemBuilder) -> Result<String, Error> {
        let window = Window::builder().item(item).build();
        let mut out = String::new();
        form.write(&window.items().next().unwrap(), &mut out).map(|()| out)
    }

    fn of(body: impl Into<Vec<u8>>) -> ItemBuilder {
        ItemBuilder::default().body(body)
    }

    #[test]
    fn body_stays_as_it_was_written_but_on_one_line() {
        let body = "{\r\n  \"n\": 12345678901234567890123,\n\"s\":\"a\\nb\"}\n";
        let expected = "{    \"n\": 12345678901234567890123, \"s\":\"a\\nb\"}";
        assert_eq!(written(Form::default(), of(body)).unwrap(), expected);
    }

    #[test]
    fn envelope_says_what_the_item_is() {
        let form = Form { envelope: true, ..Form::default() };
        let item = of("[1]").webhook_id("e_crm_0").received_ms(1_767_225_600_000);
        let bare = r#"{"id":"e_crm_0","received_at":"2026-01-01T00:00:00.000Z","body":[1]}"#;
        assert_eq!(written(form, item.clone()).unwrap(), bare);
        let keyed = r#"{"id":"e_crm_0","received_at":"2026-01-01T00:00:00.000Z","key":"a\"b","body":[1]}"#;
        assert_eq!(written(form, item.key("a\"b")).unwrap(), keyed);
    }

    #[test]
    fn body_that_is_not_json_is_refused_or_embedded_as_text() {
        let text = Form { not_json: NotJson::Text, ..Form::default() };
        for body in ["", "a\n\"b\"", "{} {}"] {
            assert!(matches!(written(Form::default(), of(body)), Err(Error::Invalid(_))), "{body}");
            assert_eq!(written(text, of(body)).unwrap(), serde_json::to_string(body).unwrap());
        }
        assert!(matches!(written(text, of(b"\xff")), Err(Error::Invalid(_))), "neither JSON nor text");
    }
}

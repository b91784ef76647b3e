//! Delivers messages together, each as JSON on a line of its own.
//!
//! It teaches what a batch plugin is: it sees the messages that wait, and makes one of them.

use items::{Form, NotJson};
use serde::Deserialize;
use sluice_plugin::{Batch, Error, Folded, Window};

struct Ndjson(Form);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    envelope: bool,
    #[serde(default)]
    not_json: NotJson,
}

impl Batch for Ndjson {
    type Config = Config;

    fn configure(Config { envelope, not_json }: Config) -> Result<Self, Error> {
        Ok(Self(Form { envelope, not_json }))
    }

    fn batch(&self, window: &Window) -> Result<Vec<Folded>, Error> {
        let mut lines = String::new();
        for item in window.items() {
            self.0.write(&item, &mut lines)?;
            lines.push('\n');
        }
        Ok(vec![Folded::new(lines).header("content-type", "application/x-ndjson")])
    }
}

sluice_plugin::batch!(Ndjson);

#[cfg(test)]
mod tests {
    use sluice_plugin::testing;

    use super::*;

    fn folded(config: &str, window: &Window) -> Result<Folded, Error> {
        let plugin: Ndjson = testing::batch(config)?;
        let [folded] = plugin.batch(window)?.try_into().unwrap();
        Ok(folded)
    }

    #[test]
    fn every_item_is_a_line() {
        let window = Window::builder().body("{\"a\":\n1}").body(" 2 ").build();
        let folded = folded("null", &window).unwrap();
        assert_eq!(str::from_utf8(folded.body()).unwrap(), "{\"a\": 1}\n2\n");
        let headers: Vec<_> = folded.headers().collect();
        assert_eq!(headers, [("content-type", &b"application/x-ndjson"[..])]);
        assert_eq!(folded.items(), None, "all of them");
    }

    #[test]
    fn item_that_is_not_json_makes_the_window_invalid_unless_text_is_fine() {
        let window = Window::builder().body("1").body("text").build();
        assert!(matches!(folded("{}", &window), Err(Error::Invalid(_))));
        let folded = folded(r#"{ "not_json": "text" }"#, &window).unwrap();
        assert_eq!(folded.body(), b"1\n\"text\"\n");
    }

    #[test]
    fn envelopes_are_lines_as_well() {
        let window = Window::builder().body("1").build();
        let folded = folded(r#"{ "envelope": true }"#, &window).unwrap();
        assert!(folded.body().starts_with(b"{\"id\":") && folded.body().ends_with(b"\"body\":1}\n"));
    }

    #[test]
    fn unknown_key_is_refused() {
        let window = Window::builder().body("1").build();
        assert!(matches!(folded(r#"{ "evelope": true }"#, &window), Err(Error::Config(_))));
    }
}

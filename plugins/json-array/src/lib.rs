//! Delivers messages together, as the elements of a JSON array.

use items::{Form, NotJson};
use serde::Deserialize;
use sluice_plugin::{Batch, Error, Folded, Window};

struct JsonArray {
    form: Form,
    /// What comes before the first element.
    opening: String,
    closing: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    envelope: bool,
    #[serde(default)]
    not_json: NotJson,
    field: Option<String>,
}

impl Batch for JsonArray {
    type Config = Config;

    fn configure(Config { envelope, not_json, field }: Config) -> Result<Self, Error> {
        let (opening, closing) = match field {
            None => ("[".to_owned(), "]"),
            Some(name) => (format!("{{{}:[", serde_json::to_string(&name)?), "]}"),
        };
        Ok(Self { form: Form { envelope, not_json }, opening, closing })
    }

    fn batch(&self, window: &Window) -> Result<Vec<Folded>, Error> {
        let mut array = self.opening.clone();
        for item in window.items() {
            if item.place() > 0 {
                array.push(',');
            }
            self.form.write(&item, &mut array)?;
        }
        array.push_str(self.closing);
        Ok(vec![Folded::new(array).header("content-type", "application/json")])
    }
}

sluice_plugin::batch!(JsonArray);

#[cfg(test)]
mod tests {
    use sluice_plugin::testing;

    use super::*;

    fn body(config: &str, bodies: &[&str]) -> Result<String, Error> {
        let plugin: JsonArray = testing::batch(config)?;
        let window = bodies.iter().fold(Window::builder(), |window, body| window.body(*body)).build();
        let [folded] = plugin.batch(&window)?.try_into().unwrap();
        Ok(str::from_utf8(folded.body()).unwrap().to_owned())
    }

    #[test]
    fn every_item_is_an_element() {
        assert_eq!(body("null", &["{\"a\":1.0}", " 2 "]).unwrap(), "[{\"a\":1.0},2]");
        assert_eq!(body("{}", &["1"]).unwrap(), "[1]");
    }

    #[test]
    fn array_may_be_in_a_field() {
        assert_eq!(
            body(r#"{ "field": "the \"events\"" }"#, &["1", "2"]).unwrap(),
            r#"{"the \"events\"":[1,2]}"#
        );
    }

    #[test]
    fn item_that_is_not_json_makes_the_window_invalid_unless_text_is_fine() {
        assert!(matches!(body("{}", &["1", "text"]), Err(Error::Invalid(_))));
        assert_eq!(body(r#"{ "not_json": "text" }"#, &["1", "text"]).unwrap(), r#"[1,"text"]"#);
    }

    #[test]
    fn envelopes_are_elements_as_well() {
        let body = body(r#"{ "envelope": true }"#, &["1", "2"]).unwrap();
        let items: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(items.iter().map(|item| &item["body"]).collect::<Vec<_>>(), [1, 2]);
    }
}

//! A plugin's configuration: the step's `config` table, read into a type of the plugin's.

use serde::de::DeserializeOwned;

use crate::Error;

/// Reads a config from its JSON form. `null`, which stands for a step without one, is read as an empty table
/// where the type does not take `null`: a config whose keys are all optional may be left out.
///
/// # Errors
/// [`Error::Config`] that names the key's path and what is wrong there.
pub(crate) fn read<C: DeserializeOwned>(json: &str) -> Result<C, Error> {
    let result = at_path(json);
    if json.trim() != "null" {
        return result;
    }
    result.or_else(|_: Error| at_path("{}"))
}

fn at_path<C: DeserializeOwned>(json: &str) -> Result<C, Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = without_position(error.into_inner());
        Error::Config(if path == "." { cause } else { format!("`{path}`: {cause}") })
    })
}

/// The operator wrote TOML; line and column of its JSON form would lead them astray.
fn without_position(error: serde_json::Error) -> String {
    let (text, position) =
        (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    text.strip_suffix(&position).map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        rules: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        name: String,
    }

    #[track_caller]
    fn refused(json: &str, with: &str) {
        assert_eq!(read::<Outer>(json), Err(Error::Config(with.to_owned())));
    }

    #[test]
    fn unknown_key_is_named_with_its_path() {
        refused(
            r#"{"rules": [{"name": "a"}, {"nme": "b"}]}"#,
            "`rules[1].nme`: unknown field `nme`, expected `name`",
        );
    }

    #[test]
    fn missing_key_is_named_with_its_path() {
        refused(r#"{"rules": [{}]}"#, "`rules[0]`: missing field `name`");
    }

    #[test]
    fn wrong_type_is_named_with_its_path() {
        refused(
            r#"{"rules": [{"name": 7}]}"#,
            "`rules[0].name`: invalid type: integer `7`, expected a string",
        );
    }

    #[test]
    fn no_config_is_an_empty_one() {
        assert_eq!(read("null"), Ok(Outer { rules: Vec::new() }));
        assert_eq!(read::<()>("null"), Ok(()));
        assert_eq!(read::<Option<Outer>>("null"), Ok(None));
    }

    #[test]
    fn no_config_where_one_is_needed_names_what_is_missing() {
        assert_eq!(read::<Inner>("null"), Err(Error::Config("missing field `name`".to_owned())));
    }
}

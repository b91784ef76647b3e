//! Values that a config file can hold and that are more than text.

use std::{borrow::Cow, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor},
};

use crate::{
    clock::Timestamp,
    config::{
        literal::{Invalid, Literal, Written},
        nearest,
    },
    verify::scheme,
};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(in crate::config) struct Count<const MAX: u32, const MIN: u32 = 1>(pub(in crate::config) u32);

impl<'de, const MAX: u32, const MIN: u32> Deserialize<'de> for Count<MAX, MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u32::try_from(number) {
            Ok(count) if (MIN..=MAX).contains(&count) => Ok(Self(count)),
            _ => Err(Error::custom(format_args!("{number} is not from {MIN} to {MAX}"))),
        }
    }
}

impl<const MAX: u32, const MIN: u32> JsonSchema for Count<MAX, MIN> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count_from_{MIN}_to_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A part of the whole: more than nothing, less than all.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Share(pub(in crate::config) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if share > 0.0 && share < 1.0 {
            return Ok(Self(share));
        }
        let hint = "write a part of one, such as 0.05 for one event in twenty";
        Err(Error::custom(format_args!("{share} is not between 0 and 1\n{hint}")))
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 })
    }
}

/// A moment, as a TOML date and time or as a string.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Moment(pub(in crate::config) Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(MomentVisitor)?;
        Timestamp::parse(&text).map(Self).map_err(Error::custom)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Timestamp::EXPECTED)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::<Timestamp>::json_schema(generator)
    }
}

/// A provider's scheme by its name.
#[derive(Clone, Debug)]
pub(in crate::config) struct Preset {
    pub(in crate::config) name: String,
    pub(in crate::config) scheme: Arc<scheme::Scheme>,
}

impl<'de> Deserialize<'de> for Preset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match scheme::preset(&name) {
            Some(preset) => Ok(Self { name: preset.name.clone(), scheme: preset.scheme.clone() }),
            None => {
                let known: Vec<_> = scheme::preset_names().collect();
                let hint = nearest::hint(&name, "presets", known.iter().copied());
                Err(Error::custom(format_args!("there is no preset `{name}`\n{hint}")))
            }
        }
    }
}

impl JsonSchema for Preset {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Preset".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": scheme::preset_names().collect::<Vec<_>>() })
    }
}

/// Takes in what anybody sends.
#[derive(Debug)]
pub(in crate::config) struct Unsigned;

impl Literal for Unsigned {
    const EXPECTED: &'static str = "`\"none\"` or a table";
    const PATTERN: &'static str = "^none$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let preset = if scheme::preset(text).is_some() { text } else { "github" };
        let hint = format!("write `{{ preset = \"{preset}\", secrets = [{{ env = \"…\" }}] }}`, or \"none\"");
        let invalid = || Invalid::new(format!("`{text}` is not a way to verify"), hint);
        if text == "none" { Ok(Self) } else { Err(invalid()) }
    }

    fn print(&self) -> String {
        "none".to_owned()
    }
}

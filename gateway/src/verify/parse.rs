//! How a signature is written in its header: alone, behind a prefix, in a list, among named fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{source::Fields, vars::Vars};

/// Where the signature is and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Raw", into = "Raw")]
#[schemars(with = "Raw")]
pub struct SignatureField {
    /// Several places: whichever is present; any may match.
    pub from: Fields,
    pub parse: Parse,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse {
    /// The signature and nothing else.
    Raw,
    /// `sha256=SIGNATURE`
    Prefix { prefix: String },
    /// `SIGNATURE,SIGNATURE`, each behind `prefix`; the first item may be the timestamp instead.
    Csv { sep: char, prefix: String, first_field: Option<String> },
    /// `v1,SIGNATURE v1,SIGNATURE`: those of one version count.
    Versions { version: String, sep: char, ver_sep: char },
    /// `t=TIMESTAMP,v1=SIGNATURE,v1=SIGNATURE`: the values of one field count.
    /// The field's name may be one of the route's own values: `{var:NAME}`.
    Kv { pair_sep: char, kv_sep: char, field: String },
}

impl Parse {
    /// With the route's own values put in place.
    pub(super) fn filled_in(self, vars: &Vars) -> Self {
        match self {
            Self::Kv { pair_sep, kv_sep, field } => {
                let field = vars.expand(&field).into_iter().next().unwrap_or(field);
                Self::Kv { pair_sep, kv_sep, field }
            }
            Self::Raw | Self::Prefix { .. } | Self::Csv { .. } | Self::Versions { .. } => self,
        }
    }

    /// The signatures in a header's value, as text.
    pub(super) fn signatures<'a>(&'a self, raw: &'a str) -> impl Iterator<Item = &'a str> {
        let sep = match self {
            Self::Raw | Self::Prefix { .. } => None,
            Self::Csv { sep, .. } | Self::Versions { sep, .. } => Some(*sep),
            Self::Kv { pair_sep, .. } => Some(*pair_sep),
        };
        let skip = matches!(self, Self::Csv { first_field: Some(_), .. }).into();
        raw.split(move |c| Some(c) == sep).skip(skip).filter_map(|item| self.signature_in(item))
    }

    fn signature_in<'a>(&self, item: &'a str) -> Option<&'a str> {
        match self {
            Self::Raw => Some(item),
            Self::Prefix { prefix } => item.strip_prefix(prefix),
            Self::Csv { prefix, .. } => item.trim().strip_prefix(prefix),
            Self::Versions { version, ver_sep, .. } => value_of(item, *ver_sep, version),
            Self::Kv { kv_sep, field, .. } => value_of(item.trim(), *kv_sep, field),
        }
    }

    /// The values of a named field beside the signature: one, if the header is as it should be.
    pub(super) fn fields<'a>(&'a self, raw: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
        let (sep, take) = match self {
            Self::Raw | Self::Prefix { .. } | Self::Versions { .. } => (None, 0),
            Self::Csv { sep, .. } => (Some(*sep), 1),
            Self::Kv { pair_sep, .. } => (Some(*pair_sep), usize::MAX),
        };
        raw.split(move |c| Some(c) == sep).take(take).filter_map(move |item| match self {
            Self::Kv { kv_sep, .. } => value_of(item.trim(), *kv_sep, name),
            Self::Csv { .. } | Self::Raw | Self::Prefix { .. } | Self::Versions { .. } => Some(item.trim()),
        })
    }

    /// Whether there is room for a field of this name beside the signature.
    pub(super) fn has_field(&self, name: &str) -> bool {
        match self {
            Self::Raw | Self::Prefix { .. } | Self::Versions { .. } => false,
            Self::Csv { first_field, .. } => first_field.as_deref() == Some(name),
            Self::Kv { field, .. } => field != name,
        }
    }

    /// Writes a signature the way [`signatures`](Self::signatures) reads it; `beside` is the field beside it.
    pub(super) fn write(&self, signature: &str, beside: Option<(&str, &str)>) -> String {
        match (self, beside) {
            (Self::Raw, _) => signature.to_owned(),
            (Self::Prefix { prefix }, _) | (Self::Csv { prefix, .. }, None) => format!("{prefix}{signature}"),
            (Self::Csv { sep, prefix, .. }, Some((_, value))) => format!("{value}{sep}{prefix}{signature}"),
            (Self::Versions { version, ver_sep, .. }, _) => format!("{version}{ver_sep}{signature}"),
            (Self::Kv { kv_sep, field, .. }, None) => format!("{field}{kv_sep}{signature}"),
            (Self::Kv { pair_sep, kv_sep, field }, Some((name, value))) => {
                format!("{name}{kv_sep}{value}{pair_sep}{field}{kv_sep}{signature}")
            }
        }
    }
}

fn value_of<'a>(item: &'a str, sep: char, key: &str) -> Option<&'a str> {
    item.split_once(sep).filter(|(k, _)| *k == key).map(|(_, value)| value)
}

/// The keys as they are written; which of them mean something depends on `parse`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SignatureField")]
struct Raw {
    /// `header:NAME` or `query:NAME`, or a list of them.
    from: Option<Fields>,
    /// How the signature is written there.
    #[serde(default)]
    parse: Mode,
    /// What stands before each signature; for `prefix` and `csv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// The version that counts, for `versions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Between two signatures, for `csv` (default `,`) and `versions` (default a blank).
    #[serde(skip_serializing_if = "Option::is_none")]
    sep: Option<char>,
    /// Between version and signature, for `versions`; default `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ver_sep: Option<char>,
    /// Between two fields, for `kv`; default `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair_sep: Option<char>,
    /// Between a field's name and its value, for `kv`; default `=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_sep: Option<char>,
    /// The field that holds the signature, for `kv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// For `csv`: the first item is no signature but this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_field: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Raw,
    Prefix,
    Csv,
    Versions,
    Kv,
}

impl TryFrom<Raw> for SignatureField {
    type Error = String;

    fn try_from(mut raw: Raw) -> Result<Self, String> {
        let from = raw.from.take().filter(|from| !from.is_empty());
        let from = from.ok_or("`from` is missing: it says where the signature is")?;
        let parse = match raw.parse {
            Mode::Raw => Parse::Raw,
            Mode::Prefix => Parse::Prefix { prefix: needed(raw.prefix.take(), "prefix")? },
            Mode::Csv => Parse::Csv {
                sep: raw.sep.take().unwrap_or(','),
                prefix: raw.prefix.take().unwrap_or_default(),
                first_field: raw.first_field.take(),
            },
            Mode::Versions => Parse::Versions {
                version: needed(raw.version.take(), "version")?,
                sep: raw.sep.take().unwrap_or(' '),
                ver_sep: raw.ver_sep.take().unwrap_or(','),
            },
            Mode::Kv => Parse::Kv {
                pair_sep: raw.pair_sep.take().unwrap_or(','),
                kv_sep: raw.kv_sep.take().unwrap_or('='),
                field: needed(raw.field.take(), "field")?,
            },
        };
        raw.nothing_left()?;
        Ok(Self { from, parse })
    }
}

fn needed(value: Option<String>, key: &str) -> Result<String, String> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| format!("this way to `parse` needs `{key}`"))
}

impl Raw {
    fn nothing_left(&self) -> Result<(), String> {
        let left = [
            ("prefix", self.prefix.is_some()),
            ("version", self.version.is_some()),
            ("sep", self.sep.is_some()),
            ("ver_sep", self.ver_sep.is_some()),
            ("pair_sep", self.pair_sep.is_some()),
            ("kv_sep", self.kv_sep.is_some()),
            ("field", self.field.is_some()),
            ("first_field", self.first_field.is_some()),
        ];
        match left.iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(format!("`{key}` means nothing with this way to `parse`")),
            None => Ok(()),
        }
    }
}

impl From<SignatureField> for Raw {
    fn from(SignatureField { from, parse }: SignatureField) -> Self {
        let raw = Self { from: Some(from), ..Self::default() };
        match parse {
            Parse::Raw => raw,
            Parse::Prefix { prefix } => Self { parse: Mode::Prefix, prefix: Some(prefix), ..raw },
            Parse::Csv { sep, prefix, first_field } => {
                let prefix = Some(prefix).filter(|p| !p.is_empty());
                Self { parse: Mode::Csv, sep: Some(sep), prefix, first_field, ..raw }
            }
            Parse::Versions { version, sep, ver_sep } => Self {
                parse: Mode::Versions,
                version: Some(version),
                sep: Some(sep),
                ver_sep: Some(ver_sep),
                ..raw
            },
            Parse::Kv { pair_sep, kv_sep, field } => Self {
                parse: Mode::Kv,
                pair_sep: Some(pair_sep),
                kv_sep: Some(kv_sep),
                field: Some(field),
                ..raw
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Parse {
        toml::from_str::<SignatureField>(&format!("from = \"header:X-Sig\"\n{text}")).unwrap().parse
    }

    #[track_caller]
    fn check(settings: &str, raw: &str, expected: &[&str]) {
        assert_eq!(parse(settings).signatures(raw).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_raw_signature_is_the_whole_value() {
        check("", "a,b=c", &["a,b=c"]);
    }

    #[test]
    fn a_prefix_must_be_there_exactly() {
        let settings = "parse = \"prefix\"\nprefix = \"sha256=\"";
        check(settings, "sha256=ab", &["ab"]);
        check(settings, "SHA256=ab", &[]);
        check(settings, "ab", &[]);
    }

    #[test]
    fn list_items_with_another_prefix_do_not_count() {
        check("parse = \"csv\"\nprefix = \"v1=\"", "v1=a, v2=b,v1=c", &["a", "c"]);
    }

    #[test]
    fn the_first_item_of_a_list_may_be_the_timestamp() {
        let settings = "parse = \"csv\"\nfirst_field = \"t\"";
        check(settings, "17,a,b", &["a", "b"]);
        assert_eq!(parse(settings).fields("17,a,b", "t").collect::<Vec<_>>(), ["17"]);
    }

    #[test]
    fn versions_that_are_not_ours_do_not_count() {
        check("parse = \"versions\"\nversion = \"v1\"", "v1,a v1a,b  v1,c v1", &["a", "c"]);
    }

    #[test]
    fn fields_are_told_apart_by_name() {
        let settings = "parse = \"kv\"\nfield = \"v1\"";
        check(settings, "t=1, v1=a,v0=b,v1=c=", &["a", "c="]);
        assert_eq!(parse(settings).fields("t=1, v1=a,t=2", "t").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn the_field_may_be_a_value_of_the_routes() {
        let parse = parse("parse = \"kv\"\npair_sep = \"&\"\nkv_sep = \"|\"\nfield = \"{var:id}\"");
        let vars = Vars::new([("id".to_owned(), vec!["mine".to_owned()])].into());
        let filled_in = parse.clone().filled_in(&vars);
        assert_eq!(filled_in.signatures("other|a&mine|b").collect::<Vec<_>>(), ["b"]);
        assert_eq!(parse.filled_in(&Vars::default()).signatures("other|a&mine|b").next(), None);
    }

    #[test]
    fn keys_that_are_missing_or_mean_nothing_are_refused() {
        let refused = |text: &str| toml::from_str::<SignatureField>(text).unwrap_err().message().to_owned();
        assert!(refused("parse = \"raw\"").contains("`from` is missing"));
        assert!(refused("from = \"header:X\"\nparse = \"prefix\"").contains("needs `prefix`"));
        assert!(refused("from = \"header:X\"\nfield = \"v1\"").contains("`field` means nothing"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(signature in "[a-f0-9]{1,64}", time in "[0-9]{1,12}") {
            for settings in [
                "",
                "parse = \"prefix\"\nprefix = \"sha1=\"",
                "parse = \"csv\"\nfirst_field = \"t\"",
                "parse = \"versions\"\nversion = \"v1\"",
                "parse = \"kv\"\nfield = \"v1\"",
            ] {
                let parse = parse(settings);
                let beside = parse.has_field("t").then_some(("t", time.as_str()));
                let written = parse.write(&signature, beside);
                prop_assert_eq!(parse.signatures(&written).collect::<Vec<_>>(), [signature.as_str()]);
                let times: Vec<_> = parse.fields(&written, "t").collect();
                prop_assert_eq!(times, beside.map(|(_, time)| time).into_iter().collect::<Vec<_>>());
            }
        }

        #[test]
        fn arbitrary_values_never_panic(raw: String) {
            for settings in ["parse = \"csv\"", "parse = \"kv\"\nfield = \"v1\""] {
                let parse = parse(settings);
                parse.signatures(&raw).for_each(drop);
                parse.fields(&raw, "t").for_each(drop);
            }
        }
    }
}

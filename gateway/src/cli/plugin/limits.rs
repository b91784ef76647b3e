//! The limits that a plugin is tried with, where they are not the gateway's own defaults.

use std::{collections::BTreeMap, time::Duration};

use bytesize::ByteSize;

use crate::config;

/// What is given of a plugin's `limits`; the rest is as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    time: Option<Duration>,
    memory: Option<usize>,
    output: Option<usize>,
    wait: Option<Duration>,
}

impl Limits {
    /// Reads them from the form that `--limits` has: `time=50ms,memory=32MiB`.
    ///
    /// # Errors
    /// With what is wrong, for people.
    pub(super) fn flag(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(|pair| {
            pair.split_once('=').ok_or_else(|| format!("`{pair}` is not like `time=50ms` or `memory=32MiB`"))
        });
        pairs.collect::<Result<Vec<_>, _>>().and_then(|pairs| Self::read(pairs.into_iter()))
    }

    /// Reads them from the `limits.json` of a case.
    ///
    /// # Errors
    /// With what is wrong, for people.
    pub(super) fn file(text: &str) -> Result<Self, String> {
        let pairs: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut limits = Self::default();
        for (name, value) in pairs {
            match name.trim() {
                "time" => limits.time = Some(duration(value)?),
                "wait" => limits.wait = Some(duration(value)?),
                "memory" => limits.memory = Some(size(value)?),
                "output" => limits.output = Some(size(value)?),
                other => {
                    return Err(format!(
                        "`{other}` is no limit; there are `time`, `memory`, `output`, `wait`"
                    ));
                }
            }
        }
        Ok(limits)
    }

    /// `limits` with what is given here in its place.
    pub(super) fn over(self, limits: config::Limits) -> config::Limits {
        config::Limits {
            time: self.time.unwrap_or(limits.time),
            memory: self.memory.unwrap_or(limits.memory),
            output: self.output.unwrap_or(limits.output),
            wait: self.wait.unwrap_or(limits.wait),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| format!("`{text}` is not a time like 50ms or 2s"))
}

fn size(text: &str) -> Result<usize, String> {
    let size = text.parse::<ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
    size.filter(|size| *size > 0).ok_or_else(|| format!("`{text}` is not a size like 1MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_takes_the_place_of_the_rest() {
        let limits = Limits::flag("time=2s,memory=64MiB").unwrap().over(config::Limits::default());
        assert_eq!((limits.time, limits.memory), (Duration::from_secs(2), 64 << 20));
        assert_eq!(limits.output, config::Limits::default().output);
        assert_eq!(
            Limits::file(r#"{ "output": "2KiB", "wait": "1s" }"#).unwrap(),
            Limits::flag("output=2KiB,wait=1s").unwrap()
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, because) in [
            ("time", "`time` is not like"),
            ("tim=2s", "`tim` is no limit"),
            ("time=0s", "`0s` is not a time"),
            ("memory=big", "`big` is not a size"),
        ] {
            let why = Limits::flag(text).unwrap_err();
            assert!(why.contains(because), "{why}");
        }
        assert!(Limits::file("[]").is_err());
    }
}

//! Presets by the name that somebody typed.

use crate::{
    config::nearest::nearest,
    verify::scheme::{Preset, preset, presets},
};

/// The preset of that name or alias; for clap, so that a name that is not known is bad usage.
pub(super) fn known(name: &str) -> Result<&'static Preset, String> {
    preset(name).ok_or_else(|| {
        let names = presets().flat_map(|one| one.about.aliases.iter().chain([&one.name]));
        match nearest(name, names.map(String::as_str)) {
            Some(near) => format!("no such preset; did you mean `{near}`?"),
            None => "no such preset; `sluice presets` lists them".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_known() {
        assert_eq!(known("stripe").unwrap().name, "stripe");
        assert_eq!(known("gitlab-token").unwrap().name, "gitlab");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert_eq!(known("strpie").unwrap_err(), "no such preset; did you mean `stripe`?");
        assert_eq!(known("zzzzzzzz").unwrap_err(), "no such preset; `sluice presets` lists them");
    }
}

//! A route to paste into a config.

use crate::verify::scheme::{Needs, Preset, Scheme};

/// A route for a preset's events, with everything that it has to say and nothing else.
pub(super) fn route(preset: &Preset) -> String {
    let Preset { name, scheme, .. } = preset;
    let verify = [format!("preset = \"{name}\"")].into_iter().chain(keys(name, scheme)).collect::<Vec<_>>();
    format!(
        "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nverify = {{ {} }}\ndeliver = [\"my-app\"]\n",
        verify.join(", ")
    )
}

/// What `verify` has to say beside the preset's name.
fn keys(name: &str, scheme: &Scheme) -> Vec<String> {
    let upper = name.to_uppercase().replace('-', "_");
    let proof = match scheme.needs() {
        Needs::Secrets => Some(format!("secrets = [{{ env = \"{upper}_SECRET\" }}]")),
        Needs::PublicKeys => Some(format!("public_keys = [{{ env = \"{upper}_PUBLIC_KEY\" }}]")),
        Needs::LearnedSecrets | Needs::PublishedKeys | Needs::Nothing => None,
    };
    let needed = scheme.common.vars.iter().filter(|(_, var)| !var.optional && var.default.is_empty());
    let vars: Vec<_> = needed.map(|(name, _)| format!("{name} = \"…\"")).collect();
    let vars = (!vars.is_empty()).then(|| format!("vars = {{ {} }}", vars.join(", ")));
    let url = scheme.signs_url().then(|| "url = \"https://hooks.example.com\"".to_owned());
    [proof, vars, url].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::Path};

    use super::*;
    use crate::{config::Config, verify::scheme::presets};

    /// Each fits some schemes.
    const SECRETS: [&str; 3] =
        ["user:password", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "44782def547aaa06c910c43932b1eb0c"];

    #[test]
    fn the_route_of_every_preset_is_a_good_one() {
        let mut checked = 0;
        for preset in presets() {
            // Whose own key it would be is not ours to make up.
            if preset.scheme.needs() == Needs::PublicKeys {
                continue;
            }
            let fits = |secret: &&str| preset.scheme.check_secret(secret.as_bytes()).is_ok();
            let secret = SECRETS.into_iter().find(fits).unwrap_or_default().to_owned();
            let variable = format!("{}_SECRET", preset.name.to_uppercase().replace('-', "_"));
            let text = format!("[destinations.my-app]\nurl = \"http://127.0.0.1:1/\"\n\n{}", route(preset));
            let env = HashMap::from([(variable, secret)]);
            let outcome = Config::parse(&text, Path::new("sluice.toml"), &env);
            assert!(outcome.is_ok(), "{text}\n{}", outcome.unwrap_err());
            checked += 1;
        }
        assert!(checked > 100, "{checked}");
    }
}

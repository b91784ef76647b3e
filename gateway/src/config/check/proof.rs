//! How senders prove themselves: a scheme with the secrets, keys and values that it needs.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::{Checker, Defined, all, steps::Uses};
use crate::{
    config::{Plugin, PluginProof, Secret, Use, Verify, field::Field, raw, report::Problem},
    verify::{
        PublicUrl, Settings, Vars,
        scheme::{Family, Needs, Respond, Scheme},
    },
};

impl Checker<'_> {
    pub(super) fn proof(&mut self, raw: raw::Signature, span: &Range<usize>) -> Option<Verify> {
        let raw::Signature { preset, scheme, plugin: _, config, secrets, public_keys, jwks, vars, url } = raw;
        if let Some(config) = config {
            let problem = Problem::error("`config` means nothing here: it is for a plugin that verifies");
            self.problems.push(problem.at(&config.span).hint("values of a scheme are given as `vars`"));
        }
        let Some((preset, scheme)) = self.scheme(preset, scheme, span) else {
            // What is wrong with the secrets is worth knowing all the same.
            secrets.map(|secrets| self.secrets(Some(secrets), span));
            return None;
        };
        let secrets = self.scheme_secrets(secrets, &scheme, span);
        let public_keys = self.public_keys(public_keys, jwks.is_some(), &scheme, span);
        let jwks = all(jwks.map(|jwks| self.key_set(jwks, &scheme)));
        let vars = self.vars(vars, &scheme, span);
        let url = self.public_url(url, &scheme, span);
        Some(Verify::Proof(Box::new(Settings {
            preset,
            scheme,
            secrets: secrets?,
            public_keys: public_keys?,
            jwks: jwks?.map(|jwks| jwks.expose().into()),
            vars: vars?,
            url: url?,
        })))
    }

    fn scheme(
        &mut self,
        preset: Option<Field<raw::Preset>>,
        scheme: Option<Field<Scheme>>,
        span: &Range<usize>,
    ) -> Option<(Option<String>, Arc<Scheme>)> {
        match (preset, scheme) {
            (Some(preset), None) => preset.value.map(|preset| (Some(preset.name), preset.scheme)),
            (None, Some(scheme)) => scheme.value.map(|scheme| (None, Arc::new(scheme))),
            (Some(_), Some(scheme)) => {
                let problem = Problem::error("both `preset` and `scheme` are given").at(&scheme.span);
                self.problems.push(problem.hint("keep `preset`, or write all of the scheme out"));
                None
            }
            (None, None) => {
                let problem =
                    Problem::error("nothing says how to verify: missing key `preset`, `scheme` or `plugin`");
                self.problems.push(problem.at(span).hint("name the provider, such as `preset = \"github\"`"));
                None
            }
        }
    }

    fn scheme_secrets(
        &mut self,
        field: Option<Field<Vec<Field<raw::Secret>>>>,
        scheme: &Scheme,
        span: &Range<usize>,
    ) -> Option<Vec<Secret>> {
        let secrets = match (field, scheme.needs()) {
            (None, Needs::Secrets) => self.secrets(None, span)?,
            (None, Needs::LearnedSecrets | Needs::PublicKeys | Needs::PublishedKeys | Needs::Nothing) => {
                Vec::new()
            }
            (Some(field), Needs::Secrets | Needs::LearnedSecrets) => self.secrets(Some(field), span)?,
            (Some(field), Needs::PublicKeys | Needs::PublishedKeys | Needs::Nothing) => {
                let problem =
                    Problem::error("the scheme uses no shared secret, so `secrets` means nothing here");
                self.problems
                    .push(problem.at(&field.span).hint("see `sluice presets show` for what it needs"));
                return None;
            }
        };
        for (span, secret) in &secrets {
            if let Err(why) = scheme.check_secret(secret.expose()) {
                let problem = Problem::error(format!("the secret does not fit the scheme: {why}"));
                self.problems.push(problem.at(span));
            }
        }
        Some(secrets.into_iter().map(|(_, secret)| secret).collect())
    }

    fn public_keys(
        &mut self,
        field: Option<Field<Vec<Field<raw::Secret>>>>,
        has_jwks: bool,
        scheme: &Scheme,
        span: &Range<usize>,
    ) -> Option<Vec<Secret>> {
        let fields = match (field, scheme.needs()) {
            (None, Needs::PublicKeys) if !has_jwks => {
                let problem =
                    Problem::error("the scheme needs the sender's public key: missing key `public_keys`");
                self.problems
                    .push(problem.at(span).hint("add it, such as `public_keys = [{ file = \"…\" }]`"));
                return None;
            }
            (None, _) => Vec::new(),
            (Some(field), Needs::PublicKeys | Needs::PublishedKeys) => field.value?,
            (Some(field), Needs::Nothing | Needs::Secrets | Needs::LearnedSecrets) => {
                let problem =
                    Problem::error("the scheme uses no public key, so `public_keys` means nothing here");
                self.problems.push(problem.at(&field.span).hint("give the shared secret as `secrets`"));
                return None;
            }
        };
        let keys: Vec<_> = fields.into_iter().map(|field| self.public_key(field, scheme)).collect();
        keys.into_iter().collect()
    }

    fn key_set(&mut self, field: Field<raw::Secret>, scheme: &Scheme) -> Option<Secret> {
        let has_ids = matches!(scheme.family, Family::Jws(_) | Family::Rfc9421(_));
        if !has_ids || !matches!(scheme.needs(), Needs::PublicKeys | Needs::PublishedKeys) {
            let problem = Problem::error("the scheme names no keys of a set, so `jwks` means nothing here");
            let hint = "see `sluice presets show` for what it needs";
            self.problems.push(problem.at(&field.span).hint(hint));
            return None;
        }
        let span = field.span.clone();
        let set = self.key_text(field)?;
        if let Err(why) = Settings::check_key_set(set.expose()) {
            self.problems.push(Problem::error(format!("the key set cannot be used: {why}")).at(&span));
            return None;
        }
        Some(set)
    }

    fn public_key(&mut self, field: Field<raw::Secret>, scheme: &Scheme) -> Option<Secret> {
        let span = field.span.clone();
        let key = self.key_text(field)?;
        if let Err(why) = scheme.check_public_key(key.expose()) {
            let problem = Problem::error(format!("the public key does not fit the scheme: {why}"));
            self.problems.push(problem.at(&span));
        }
        Some(key)
    }

    /// Like a secret, but there is no harm in writing it into the config.
    fn key_text(&mut self, field: Field<raw::Secret>) -> Option<Secret> {
        match field.value? {
            raw::Secret::String(text) => Some(Secret::new(text.into_bytes(), "inline")),
            table @ raw::Secret::Table(_) => self.secret(Field { span: field.span, value: Some(table) }),
        }
    }

    fn vars(
        &mut self,
        field: Option<Field<BTreeMap<String, Field<raw::OneOrMore>>>>,
        scheme: &Scheme,
        span: &Range<usize>,
    ) -> Option<Vars> {
        let known = &scheme.common.vars;
        let mut values: BTreeMap<_, _> =
            known.iter().map(|(name, var)| (name.clone(), var.default.clone())).collect();
        for (name, field) in field.map_or(Some(BTreeMap::new()), |field| field.value)? {
            if !known.is_empty() && !known.contains_key(&name) {
                let names = known.keys().map(String::as_str);
                let hint = crate::config::nearest::hint(&name, "values", names);
                self.problems.push(
                    Problem::error(format!("the scheme knows no value `{name}`")).at(&field.span).hint(hint),
                );
            }
            let given = match field.value? {
                raw::OneOrMore::One(text) => vec![text],
                raw::OneOrMore::More(texts) => texts,
            };
            values.insert(name, given);
        }
        let missing = known.iter().filter(|(name, var)| !var.optional && values[*name].is_empty());
        let missing: Vec<_> = missing.collect();
        for (name, var) in &missing {
            let problem = Problem::error(format!("the scheme needs the value `{name}`: {}", var.about));
            self.problems.push(problem.at(span).hint(format!("add it: `vars = {{ {name} = \"…\" }}`")));
        }
        missing.is_empty().then(|| Vars::new(values))
    }

    fn public_url(
        &mut self,
        field: Option<Field<String>>,
        scheme: &Scheme,
        span: &Range<usize>,
    ) -> Option<Option<PublicUrl>> {
        let Some(field) = field else {
            if !scheme.signs_url() {
                return Some(None);
            }
            let problem =
                Problem::error("the provider signs our URL, so the config has to say it: missing key `url`");
            let hint = "add it as the provider knows it, such as `url = \"https://hooks.example.com\"`";
            self.problems.push(problem.at(span).hint(hint));
            return None;
        };
        self.parsed_url(field).map(Some)
    }

    fn parsed_url(&mut self, field: Field<String>) -> Option<PublicUrl> {
        let parsed = field.value?.parse();
        parsed.map_err(|why: String| self.problems.push(Problem::error(why).at(&field.span))).ok()
    }

    pub(super) fn plugin_proof(
        &mut self,
        raw: raw::Signature,
        span: &Range<usize>,
        plugins: &mut Defined<Plugin>,
        route: &str,
        uses: &mut Uses,
    ) -> Option<Verify> {
        let raw::Signature { preset, scheme, plugin, config, secrets, public_keys, jwks, vars, url } = raw;
        let name = plugin?;
        let of_schemes = [
            ("preset", preset.map(|field| field.span)),
            ("scheme", scheme.map(|field| field.span)),
            ("public_keys", public_keys.map(|field| field.span)),
            ("jwks", jwks.map(|field| field.span)),
            ("vars", vars.map(|field| field.span)),
        ];
        for (key, place) in of_schemes {
            let Some(place) = place else { continue };
            let problem = Problem::error(format!("both `plugin` and `{key}` are given")).at(&place);
            self.problems
                .push(problem.hint("a plugin has `config`, `secrets` and `url`; keep one of the two"));
        }
        let used = self.used(&name, config, Use::Verify, plugins, route, uses);
        let secrets = all(secrets.map(|secrets| self.secrets(Some(secrets), span)));
        let url = all(url.map(|url| self.parsed_url(url)));
        let (plugin, config) = used?;
        self.no_canary(&plugin, &name.span, "proves requests");
        let secrets = secrets?.unwrap_or_default().into_iter().map(|(_, secret)| secret).collect();
        Some(Verify::Plugin(Box::new(PluginProof { plugin, config, secrets, url: url? })))
    }

    /// What the preset says, with what the route says put over it.
    pub(super) fn respond(
        &mut self,
        field: Option<Field<Respond>>,
        verify: Option<&Verify>,
    ) -> Option<Respond> {
        let preset = match verify {
            Some(Verify::Proof(settings)) => settings.scheme.common.respond.clone(),
            Some(Verify::None | Verify::Plugin(_)) | None => Respond::default(),
        };
        let Some(field) = field else { return Some(preset) };
        let own = field.value?;
        if let Err(why) = own.check() {
            self.problems.push(Problem::error(why).at(&field.span));
            return None;
        }
        Some(own.over(preset))
    }
}

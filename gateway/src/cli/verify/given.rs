//! What the flags give a scheme to check with.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use super::explain::{ExplainArgs, Usage};
use crate::{
    config::Secret,
    verify::{
        PublicUrl, Settings, Unverified, Vars,
        scheme::{Family, Needs, Scheme},
    },
};

/// Settings as a route would have them, and what is to be said of them.
pub(super) struct Given {
    pub(super) settings: Settings,
    pub(super) notes: Vec<(&'static str, String)>,
}

impl Given {
    /// # Errors
    /// When something is missing without which nothing can be checked.
    pub(super) fn new(args: &ExplainArgs, request: &Unverified) -> Result<Self, Usage> {
        let (preset, mut scheme) = scheme(args)?;
        needed(args, &scheme)?;
        let mut notes = Vec::new();
        let secrets = secrets(args, &scheme, &mut notes)?;
        let vars = vars(args, &mut scheme, &mut notes)?;
        let url = url(args, &scheme, request)?;
        let public_keys = args.public_keys.iter().enumerate();
        let public_keys = public_keys.map(|(index, key)| {
            Secret::new(text_or_file(key).into_bytes(), format!("public key {}", index + 1))
        });
        let settings = Settings {
            preset,
            scheme: Arc::new(scheme),
            secrets,
            public_keys: public_keys.collect(),
            jwks: args.jwks.as_deref().map(jwks).transpose()?,
            vars,
            url,
        };
        Ok(Self { settings, notes })
    }
}

fn scheme(args: &ExplainArgs) -> Result<(Option<String>, Scheme), Usage> {
    match (args.which.preset, &args.which.scheme) {
        (Some(preset), _) => Ok((Some(preset.name.clone()), Scheme::clone(&preset.scheme))),
        (None, Some(file)) => read_scheme(file).map(|scheme| (None, scheme)),
        (None, None) => Err(Usage::NoScheme),
    }
}

fn read_scheme(file: &Path) -> Result<Scheme, Usage> {
    let text = fs::read_to_string(file).map_err(|error| Usage::File { file: file.into(), error })?;
    toml::from_str(&text)
        .map_err(|error| Usage::Scheme { file: file.into(), why: error.message().to_owned() })
}

fn needed(args: &ExplainArgs, scheme: &Scheme) -> Result<(), Usage> {
    let no_secret = args.secrets.is_empty() && args.secret_envs.is_empty();
    let no_key = args.public_keys.is_empty() && args.jwks.is_none();
    match scheme.needs() {
        Needs::Secrets | Needs::LearnedSecrets if no_secret => Err(Usage::NoSecret),
        Needs::PublicKeys if no_key => Err(Usage::NoPublicKey),
        Needs::PublishedKeys if no_key => Err(Usage::NoPublishedKey),
        Needs::Secrets
        | Needs::LearnedSecrets
        | Needs::PublicKeys
        | Needs::PublishedKeys
        | Needs::Nothing => Ok(()),
    }
}

/// Those that the scheme can use. One that it cannot lets nobody in, as a gateway with it would not even start.
fn secrets(
    args: &ExplainArgs,
    scheme: &Scheme,
    notes: &mut Vec<(&'static str, String)>,
) -> Result<Vec<Secret>, Usage> {
    let mut usable = all_secrets(args)?;
    usable.retain(|secret| match scheme.check_secret(secret.expose()) {
        Ok(()) => true,
        Err(why) => {
            notes.push(("secrets", format!("{} cannot be used: {why}", secret.origin())));
            false
        }
    });
    Ok(usable)
}

/// Those of the flags, in their order, then those of the environment.
///
/// # Errors
/// If a variable is not set.
pub(super) fn all_secrets(args: &ExplainArgs) -> Result<Vec<Secret>, Usage> {
    let texts = args.secrets.iter().map(|secret| secret.expose().to_owned());
    let from_env = args
        .secret_envs
        .iter()
        .map(|name| std::env::var(name).map_err(|_| Usage::NoSuchVariable { name: name.clone() }));
    let secrets = texts.map(Ok).chain(from_env).enumerate();
    secrets
        .map(|(index, text)| Ok(Secret::new(text?.into_bytes(), format!("secret {}", index + 1))))
        .collect()
}

/// Those given and the scheme's own defaults. What only one that is missing could judge is not judged.
fn vars(
    args: &ExplainArgs,
    scheme: &mut Scheme,
    notes: &mut Vec<(&'static str, String)>,
) -> Result<Vars, Usage> {
    let known = scheme.common.vars.clone();
    let mut values: BTreeMap<_, _> =
        known.iter().map(|(name, var)| (name.clone(), var.default.clone())).collect();
    for (name, _) in &args.vars {
        values.insert(name.clone(), Vec::new());
        if !known.contains_key(name) && !known.is_empty() {
            notes.push(("vars", format!("`{name}` means nothing to this scheme")));
        }
    }
    for (name, value) in &args.vars {
        values.entry(name.clone()).or_default().push(value.clone());
    }
    for (name, var) in known.iter().filter(|(name, _)| values[*name].is_empty()) {
        if leave_unjudged(scheme, name) {
            notes.push(("vars", format!("without --var {name}=… ({}) it is not judged", var.about)));
        }
        if family_names(scheme, name) {
            return Err(Usage::NoVar { name: name.clone(), about: var.about.clone() });
        }
    }
    Ok(Vars::new(values))
}

/// Takes out conditions that no value but this variable's could meet; whether there were any.
fn leave_unjudged(scheme: &mut Scheme, name: &str) -> bool {
    let is_var = |value: &String| *value == format!("{{var:{name}}}");
    let judges_only = |values: &[String]| values.iter().any(is_var);
    match &mut scheme.family {
        Family::Signature(signature) => {
            let before = signature.require.len();
            signature.require.retain(|requirement| !judges_only(&requirement.one_of));
            signature.require.len() < before
        }
        Family::Jws(jws) => {
            let before = jws.claims.len();
            jws.claims.retain(|_, values| !judges_only(values));
            jws.claims.len() < before
        }
        Family::Token(_) | Family::Basic(_) | Family::Rfc9421(_) | Family::None {} => false,
    }
}

fn family_names(scheme: &Scheme, name: &str) -> bool {
    let written = serde_json::to_string(&scheme.family).unwrap_or_default();
    written.contains(&format!("{{var:{name}}}")) || written.contains(&format!("\"var:{name}\""))
}

/// Our URL: as given, or made of the request's own host.
fn url(args: &ExplainArgs, scheme: &Scheme, request: &Unverified) -> Result<Option<PublicUrl>, Usage> {
    if let Some(url) = &args.url {
        return Ok(Some(url.clone()));
    }
    match own_url(request) {
        None if scheme.signs_url() => Err(Usage::NoUrl),
        url => Ok(url),
    }
}

/// As the request's own host has it.
pub(super) fn own_url(request: &Unverified) -> Option<PublicUrl> {
    let host = request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| format!("https://{host}").parse().ok())
}

fn jwks(given: &str) -> Result<Arc<[u8]>, Usage> {
    let text = match given.trim_start().starts_with('{') {
        true => given.to_owned(),
        false => fs::read_to_string(given).map_err(|error| Usage::File { file: given.into(), error })?,
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(set) if set.get("keys").is_some_and(serde_json::Value::is_array) => Ok(text.into_bytes().into()),
        Ok(_) | Err(_) => Err(Usage::Jwks),
    }
}

/// A key's text, or the text of the file that is named.
fn text_or_file(given: &str) -> String {
    let file = Path::new(given);
    match given.contains('\n') || !file.is_file() {
        true => given.to_owned(),
        false => {
            fs::read_to_string(file).map_or_else(|_| given.to_owned(), |text| text.trim_end().to_owned())
        }
    }
}

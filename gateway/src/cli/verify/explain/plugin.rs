//! A plugin that explains a request by being asked about it.

use std::{path::Path, sync::Arc};

use super::{ExplainArgs, Usage, of_request, of_time};
use crate::{
    cli::{
        plugin::step,
        verify::{given, narrator::Narrator},
    },
    config::PluginProof,
    ingest::{Doorstep, Prover},
    plugin::PluginHost,
    telemetry::{Chain, Metrics},
    verify::{Unverified, Verifier},
};

/// The plugin in a file with all that the flags give it, as a route would have it, ready to be asked.
///
/// # Errors
/// When it cannot be loaded, or a flag means nothing to it.
pub(super) fn load(
    args: &ExplainArgs,
    file: &Path,
    request: &Unverified,
) -> Result<(PluginProof, Verifier), Usage> {
    let of_schemes = [
        ("public-key", !args.public_keys.is_empty()),
        ("jwks", args.jwks.is_some()),
        ("var", !args.vars.is_empty()),
        ("show-expected", args.show_expected),
    ];
    if let Some((option, _)) = of_schemes.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Usage::NotOfPlugin { option });
    }
    let proof = PluginProof {
        plugin: Arc::new(step::plugin(file)),
        config: step::config(args.config.as_deref()).map_err(|error| Usage::Plugin(format!("{error:#}")))?,
        secrets: given::all_secrets(args)?,
        url: args.url.clone().or_else(|| given::own_url(request)),
    };
    let unusable = |error| Usage::Plugin(Chain(&error).to_string());
    let metrics = Metrics::new();
    let host = PluginHost::without_cache(&metrics).map_err(unusable)?;
    let doorstep = Doorstep::new();
    let prover = Prover::load(&request.route, &proof, &host, &metrics, doorstep, None).map_err(unusable)?;
    Ok((proof, Verifier::by_judge(Arc::new(prover))))
}

/// What is known before it is asked.
pub(super) fn introduce(
    narrator: &mut Narrator,
    args: &ExplainArgs,
    proof: &PluginProof,
    request: &Unverified,
) {
    narrator.say("plugin", &proof.plugin.file.display().to_string());
    of_request(narrator, request);
    if let Some(url) = &proof.url {
        narrator.say("our url", &url.of(&request.path, request.query.as_deref()));
    }
    narrator.say("given", &format!("{} secrets", proof.secrets.len()));
    of_time(narrator, args, "not given, so the plugin takes the request for one of this moment: see --now");
}

//! `sluice plugin record`: an event of a running gateway becomes a case for `sluice plugin test`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::anyhow;
use serde_json::Value;

use self::mask::{Masked, Masks};
use super::{case, json::Json, outcome, source::Source, step, unusable};
use crate::{
    admin::api::{Lineup, LineupStep},
    cli::{
        connection::ConnectionArgs,
        output::{print, print_json, printable},
    },
    event::EventId,
    plugin::{Plugin, PluginError},
    telemetry::Chain,
};

mod mask;

mod recording;

mod words;

/// Turns an event of a running gateway into a case for `sluice plugin test`, with its secrets masked.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordArgs {
    /// The event's id.
    #[arg(value_name = "EVENT_ID")]
    event: EventId,
    /// The case's folder, which is made [default: cases/EVENT_ID].
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Mask what is there in the JSON body, such as `/user/name`; a `*` stands for every element.
    #[arg(long, value_name = "POINTER")]
    mask: Vec<String>,
    /// Mask this header.
    #[arg(long, value_name = "NAME")]
    mask_header: Vec<String>,
    /// Mask e-mail addresses wherever they are.
    #[arg(long)]
    mask_emails: bool,
    /// A `.wasm` file: what it makes of the masked event is written down as expected.
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// The plugin of the route whose config the case gets; needed where the route's pipeline leaves it open.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    #[command(flatten)]
    gateway: ConnectionArgs,
}

/// Records an event; says on standard error what was masked.
///
/// # Errors
/// If the gateway cannot be asked or has no such event, a mask hits nothing, or the folder holds a case already.
pub(super) async fn record(args: RecordArgs) -> anyhow::Result<ExitCode> {
    let dir = args.into.clone().unwrap_or_else(|| Path::new("cases").join(args.event.to_string()));
    if [case::EVENT, case::WINDOW].iter().any(|file| dir.join(file).exists()) {
        let dir = dir.display();
        return Err(unusable(format!("`{dir}` holds a case already; `--into DIR` names another folder")));
    }
    let recorded = Recorded::take(&args).await?;
    recorded.warn();
    recorded.write(&dir)?;
    if let Some(plugin) = &recorded.plugin {
        recorded.expect(plugin, &dir).await?;
    }
    match args.gateway.json {
        true => print_json(&recorded.json(&dir)?)?,
        false => print(&format!("recorded {}\n", printable(&dir.display().to_string())))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An event with all that a case is made of.
struct Recorded {
    masked: Masked,
    config: Option<Json>,
    /// `Err`: it refuses the config, and why.
    plugin: Option<Result<Arc<Plugin>, String>>,
    notes: Vec<String>,
}

impl Recorded {
    async fn take(args: &RecordArgs) -> anyhow::Result<Self> {
        let source = Source::new(&args.gateway)?;
        let event = source.event(args.event).await?.ok_or_else(|| {
            let id = args.event;
            unusable(format!(
                "the gateway has no event `{id}`; `sluice events list` shows those that it keeps"
            ))
        })?;
        let lineup = source.lineup_if_any(&event.route).await?;
        let masks = Masks {
            pointers: args.mask.iter().map(|text| mask::pointer(text)).collect::<Result<_, _>>()?,
            headers: args.mask_header.iter().map(|name| name.to_ascii_lowercase()).collect(),
            proofs: source.verify(&event.route).await?.map(|name| mask::proofs(&name)).unwrap_or_default(),
            emails: args.mask_emails,
        };
        let mut masked = masks.apply(&event)?;
        let (config, notes) = match lineup {
            Some(lineup) => config(&lineup, args, &masks, &mut masked)?,
            None => (None, vec![format!("the gateway has no route `{}` any more: no config", event.route)]),
        };
        let plugin = args.plugin.as_deref().map(|file| load(file, config.as_ref())).transpose()?;
        Ok(Self { masked, config, plugin, notes })
    }

    /// Says what was masked, and what the author has to do about it.
    fn warn(&self) {
        for note in &self.notes {
            eprintln!("note: {}", printable(note));
        }
        for place in &self.masked.places {
            eprintln!("masked {}", printable(place));
        }
        eprintln!("look through the case before you commit it: only what looks like a secret was masked");
    }

    fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            fs::write(&path, bytes).map_err(|error| anyhow!("failed to write `{}`: {error}", path.display()))
        };
        fs::create_dir_all(dir).map_err(|error| anyhow!("failed to make `{}`: {error}", dir.display()))?;
        if let Some(body) = self.masked.body.as_file() {
            write(recording::BODY, body)?;
        }
        if let Some(config) = &self.config {
            write(case::CONFIG, format!("{config}\n").as_bytes())?;
        }
        write(case::EVENT, format!("{}\n", recording::json(&self.masked)).as_bytes())
    }

    /// What was recorded, for programs.
    fn json(&self, dir: &Path) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&serde_json::json!({ "case": dir, "masked": self.masked.places }))
    }

    /// Writes down what the plugin makes of the case as it was written.
    async fn expect(&self, plugin: &Result<Arc<Plugin>, String>, dir: &Path) -> anyhow::Result<()> {
        let recorded = case::file(&dir.join(case::EVENT))?;
        let made = match plugin {
            Ok(plugin) => {
                let given = recorded.given(plugin.kind()).map_err(unusable)?;
                outcome::of(&plugin.answer(&given).await, None)
            }
            Err(reason) => outcome::refused(reason),
        };
        let path = dir.join(case::EXPECTED);
        fs::write(&path, format!("{made}\n"))
            .map_err(|error| anyhow!("failed to write `{}`: {error}", path.display()))
    }
}

/// The config of the step that the case is for, masked, and what is to be said of it.
fn config(
    lineup: &Lineup,
    args: &RecordArgs,
    masks: &Masks,
    masked: &mut Masked,
) -> anyhow::Result<(Option<Json>, Vec<String>)> {
    let Some(step) = chosen(lineup, args)? else {
        let names: Vec<_> = lineup.steps.iter().map(|step| step.plugin.as_str()).collect();
        let open = "so the case has no config; `--step NAME` says whose it gets";
        let note = format!("route `{}` runs `{}`, {open}", lineup.route, names.join("`, `"));
        return Ok((None, if names.is_empty() { Vec::new() } else { vec![note] }));
    };
    if step.config.is_null() {
        return Ok((None, Vec::new()));
    }
    let config = Json::parse(&step.config.to_string())?;
    Ok((Some(masks.config(config, &mut masked.places)), Vec::new()))
}

/// The step that is named, the only one, or the one of the plugin's name; `None` if that leaves it open.
fn chosen<'l>(lineup: &'l Lineup, args: &RecordArgs) -> anyhow::Result<Option<&'l LineupStep>> {
    let find = |name: &str| lineup.steps.iter().find(|step| step.plugin == name);
    if let Some(name) = &args.step {
        let unknown = || unusable(format!("route `{}` has no step with a plugin `{name}`", lineup.route));
        return find(name).map(Some).ok_or_else(unknown);
    }
    let stem = args.plugin.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy());
    Ok(match &lineup.steps[..] {
        [only] => Some(only),
        _ => stem.and_then(|stem| find(&stem.replace('_', "-")).or_else(|| find(&stem))),
    })
}

/// Loads the plugin that says what is expected.
fn load(file: &Path, config: Option<&Json>) -> anyhow::Result<Result<Arc<Plugin>, String>> {
    let config: Value = match config {
        Some(config) => serde_json::from_str(&config.to_string())?,
        None => Value::Null,
    };
    match step::load(&step::host()?, &step::plugin(file), &config) {
        Ok(plugin) => Ok(Ok(plugin)),
        Err(PluginError::Config { reason, .. }) => Ok(Err(reason)),
        Err(error) => Err(unusable(Chain(&error).to_string())),
    }
}

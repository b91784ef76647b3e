//! Where log lines go and what they look like.

use std::io::{self, IsTerminal};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: coloured on a terminal, unless `NO_COLOR` is set.
    #[default]
    Text,
    /// For machines: one object a line, with the event's own `fields` and the `spans` around it.
    Json,
}

/// How much is logged, and in which shape.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// How much is logged: a level, or directives such as `info,sluice::deliver=debug`.
    #[arg(long = "log", value_name = "LEVEL", env = "SLUICE_LOG", default_value = "info")]
    level: String,
    /// The shape of a log line.
    #[arg(long = "log-format", value_name = "FORMAT", env = "SLUICE_LOG_FORMAT", default_value = "text")]
    format: LogFormat,
}

impl LogArgs {
    /// Starts the log as asked for. Once per process.
    pub fn init(&self) -> Result<(), LogError> {
        init_logs(self.format, &self.level)
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    #[error(
        "`{word}` is not a log level; levels are `off`, `error`, `warn`, `info`, `debug` and `trace`, \
         and `module=level` sets one module's"
    )]
    UnknownLevel { word: String },
    #[error("log filter `{filter}` is not valid")]
    BadFilter { filter: String, source: filter::ParseError },
    #[error("failed to start the log")]
    Start(#[source] TryInitError),
}

/// Sends the process's log to standard error. `level` is a level, or `tracing` directives joined by commas, such
/// as `info,sluice::deliver=debug`. Once per process.
pub fn init_logs(format: LogFormat, level: &str) -> Result<(), LogError> {
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(format, filter(level)?, colour, io::stderr).try_init().map_err(LogError::Start)
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colour: bool, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = match format {
        LogFormat::Text => fmt::layer().with_ansi(colour).with_writer(to).boxed(),
        // The list of spans already holds the current one.
        LogFormat::Json => fmt::layer().json().with_current_span(false).with_writer(to).boxed(),
    };
    Registry::default().with(filter).with(lines)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let words: Vec<_> = level.split(',').map(str::trim).collect();
    if let Some(word) = words.iter().find(|word| is_misspelt_level(word)) {
        return Err(LogError::UnknownLevel { word: (*word).to_owned() });
    }
    EnvFilter::try_new(words.join(","))
        .map_err(|source| LogError::BadFilter { filter: level.to_owned(), source })
}

/// A lone word is taken for a level. `EnvFilter` would take `inof` for a module and silence everything else.
fn is_misspelt_level(word: &str) -> bool {
    !word.contains(['=', ':', '[', ']']) && word.parse::<LevelFilter>().is_err()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, speak: impl FnOnce()) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = subscriber(format, filter(level).unwrap(), false, move || to.clone());
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_spans() {
        let text = logged(LogFormat::Json, "info", || {
            let _span = info_span!("event", id = "0192", route = "github").entered();
            info!(attempt = 3, "attempt failed");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["fields"]["message"], "attempt failed");
        assert_eq!(line["fields"]["attempt"], 3);
        assert_eq!(line["spans"][0]["route"], "github");
    }

    #[test]
    fn text_lines_name_span_and_fields() {
        let text = logged(LogFormat::Text, "info", || {
            let _span = info_span!("event", id = "0192").entered();
            info!(attempt = 3, "attempt failed");
        });
        assert!(text.contains("INFO event{id=\"0192\"}:"), "{text}");
        assert!(text.ends_with("attempt failed attempt=3\n"), "{text}");
    }

    #[test]
    fn lines_below_the_level_are_left_out() {
        assert_eq!(logged(LogFormat::Text, "warn", || info!("quiet")), "");
    }

    #[test]
    fn one_module_can_speak_more_than_the_rest() {
        let text = logged(LogFormat::Text, "off,loud=info", || {
            info!("quiet");
            info!(target: "loud", "heard");
        });
        assert!(text.contains("heard") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let text = logged(LogFormat::Text, "info", || info!("{}", "\u{1b}[2Jgone"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn misspelt_level_is_refused() {
        let error = filter("inof").unwrap_err().to_string();
        assert!(error.starts_with("`inof` is not a log level; levels are `off`, `error`"), "{error}");
        assert!(filter("info,sluice=loud").is_err());
        assert!(filter("INFO, sluice::deliver=debug,[event{id}]=trace").is_ok());
    }
}

//! Where things stand that only a plugin can find fault with, and only when it is loaded.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use super::{
    field::Field,
    placed::Placed,
    report::{Problem, Report, Source},
};

/// A mistake that shows when what a config names is loaded.
#[derive(Clone, Debug)]
pub struct Mistake {
    pub message: String,
    pub about: About,
}

/// What of a config a mistake is about.
#[derive(Clone, Debug)]
pub enum About {
    /// All of it, or what has no place in it.
    Whole,
    /// The file of the plugin of this name.
    File(Arc<str>),
    /// The file that is tried out beside the plugin of this name.
    Canary(Arc<str>),
    /// The config that a route gives to a plugin; what of it, if `path` says so: `rules[1].name`.
    Config { route: Arc<str>, used: Use, path: Option<String> },
}

/// What a route uses a plugin for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    Verify,
    /// A step of its pipeline, counted from 0.
    Step(usize),
    Batch,
}

/// The places of a config file that plugins may find fault with.
#[derive(Clone, Debug, Default)]
pub struct Places {
    source: Arc<Source>,
    /// By the plugin's name.
    files: BTreeMap<Arc<str>, Range<usize>>,
    /// Likewise, of the files that are tried out.
    canaries: BTreeMap<Arc<str>, Range<usize>>,
    uses: HashMap<(Arc<str>, Use), Place>,
}

/// A plugin's use on a route.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The plugin's name.
    pub(super) plugin: Range<usize>,
    pub(super) config: Option<Field<Placed>>,
}

impl Places {
    pub(super) fn of(source: Arc<Source>) -> Self {
        Self { source, ..Self::default() }
    }

    pub(super) fn add_file(&mut self, plugin: Arc<str>, place: Range<usize>) {
        self.files.insert(plugin, place);
    }

    pub(super) fn add_canary(&mut self, plugin: Arc<str>, place: Range<usize>) {
        self.canaries.insert(plugin, place);
    }

    pub(super) fn add_uses(&mut self, route: &Arc<str>, uses: Vec<(Use, Place)>) {
        self.uses.extend(uses.into_iter().map(|(used, place)| ((route.clone(), used), place)));
    }

    pub(super) fn report(&self, mistakes: impl IntoIterator<Item = Mistake>) -> Report {
        let mut problems = Vec::new();
        for Mistake { message, about } in mistakes {
            let problem = Problem::error(message);
            let problem = match self.find(&about) {
                Some(span) => problem.at(&span),
                None => problem,
            };
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        Report::of(&self.source, problems)
    }

    fn find(&self, about: &About) -> Option<Range<usize>> {
        match about {
            About::Whole => None,
            About::File(plugin) => self.files.get(plugin).cloned(),
            About::Canary(plugin) => self.canaries.get(plugin).cloned(),
            About::Config { route, used, path } => {
                let Place { plugin, config } = self.uses.get(&(route.clone(), *used))?;
                let config =
                    config.as_ref().map(|config| config.place_of(path.as_deref().unwrap_or_default()));
                Some(config.unwrap_or_else(|| plugin.clone()))
            }
        }
    }
}

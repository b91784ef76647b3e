//! What routes use plugins for: steps of their pipelines, and batches.

use std::{ops::Range, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Checker, Defined, all};
use crate::config::{
    At, Batch, Plugin, Step, Use, field::Field, placed::Placed, places::Place, raw, report::Problem,
    units::Size,
};

/// What one route uses plugins for, and where that is written.
pub(super) type Uses = Vec<(Use, Place)>;

impl Checker<'_> {
    pub(super) fn pipeline(
        &mut self,
        field: Field<Vec<Field<raw::Step>>>,
        plugins: &mut Defined<Plugin>,
        route: &str,
        uses: &mut Uses,
    ) -> Option<Vec<Step>> {
        let mut behind = None;
        let mut steps = Vec::new();
        for (index, field) in field.value?.into_iter().enumerate() {
            self.edge_first(&field, &mut behind);
            steps.push(self.step(field, index, plugins, route, uses));
        }
        steps.into_iter().collect()
    }

    /// A step at the edge cannot come after one that runs later. `behind` is the first one of those.
    fn edge_first(&mut self, field: &Field<raw::Step>, behind: &mut Option<Range<usize>>) {
        let Some(at) = field.value.as_ref().map(|step| &step.at) else { return };
        match (at.value, &behind) {
            (Some(At::Pipeline), None) => *behind = Some(field.span.clone()),
            (Some(At::Edge), Some(first)) => {
                let problem =
                    Problem::error("a step at the edge runs before all others, and stands behind one");
                let problem = problem.at(&at.span).other(first, "this one runs behind the journal");
                self.problems.push(problem.hint("put the steps with `at = \"edge\"` first"));
            }
            _ => {}
        }
    }

    fn step(
        &mut self,
        field: Field<raw::Step>,
        index: usize,
        plugins: &mut Defined<Plugin>,
        route: &str,
        uses: &mut Uses,
    ) -> Option<Step> {
        let raw::Step { plugin, config, on_error, at } = field.value?;
        let name = self.required(plugin, "plugin", &field.span, "the name of one of `[plugins]`")?;
        let (plugin, config) = self.used(&name, config, Use::Step(index), plugins, route, uses)?;
        let (on_error, at) = (on_error.value?, at.value?);
        if at == At::Edge {
            self.fit_for_the_edge(&plugin, &name.span);
        }
        Some(Step { plugin, config, on_error, at })
    }

    fn fit_for_the_edge(&mut self, plugin: &Plugin, place: &Range<usize>) {
        let name = &plugin.name;
        if !plugin.grants.is_empty() {
            let message = format!(
                "plugin `{name}` has grants, which it may wait for, and at the edge a sender waits for the plugin"
            );
            let hint =
                format!("leave `grants` out of `[plugins.{name}]`, or run the step behind the journal");
            self.problems.push(Problem::error(message).at(place).hint(hint));
        }
        self.no_canary(plugin, place, "runs at the edge");
    }

    pub(super) fn batch(
        &mut self,
        field: Field<raw::Batch>,
        plugins: &mut Defined<Plugin>,
        route: &str,
        uses: &mut Uses,
    ) -> Option<Batch> {
        let raw::Batch { plugin, config, events, bytes, wait, by_key } = field.value?;
        let bytes = self.within(bytes, Size(1)..=Size::mib(16));
        let wait = self.within(wait, Duration::from_millis(1)..=Duration::from_secs(60 * 60));
        let name = self.required(plugin, "plugin", &field.span, "the name of one of `[plugins]`")?;
        let (plugin, config) = self.used(&name, config, Use::Batch, plugins, route, uses)?;
        self.no_canary(&plugin, &name.span, "makes batches");
        Some(Batch {
            plugin,
            config,
            events: events.value?.0 as usize,
            bytes: usize::try_from(bytes?.0).ok()?,
            wait: wait?,
            by_key: by_key.value?,
        })
    }

    /// The plugin that a route names and the config that it gives to it, `null` for none.
    pub(super) fn used(
        &mut self,
        name: &Field<String>,
        config: Option<Field<Placed>>,
        used: Use,
        plugins: &mut Defined<Plugin>,
        route: &str,
        uses: &mut Uses,
    ) -> Option<(Arc<Plugin>, Value)> {
        let plugin = self.find(plugins, name, route)?.value.clone();
        let json = all(config.as_ref().map(Field::json))?.unwrap_or_default();
        uses.push((used, Place { plugin: name.span.clone(), config }));
        Some((plugin?, json))
    }
}

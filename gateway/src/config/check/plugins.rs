//! Plugins: their files, what they may use and how they are run.

use std::{
    ops::{Range, RangeInclusive},
    path::Path,
    sync::Arc,
};

use super::{Checker, all};
use crate::config::{
    Canary, CanaryMode, Isolation, Limits, Plugin, Pool, Quarantine,
    field::Field,
    literal::{Literal, Text},
    raw,
    report::Problem,
    units::Size,
};

/// From one page of linear memory to all that 32 bits can address.
const MEMORY: RangeInclusive<Size> = Size::kib(64)..=Size::gib(4);

impl Checker<'_> {
    pub(super) fn plugin(
        &mut self,
        name: Arc<str>,
        raw: Field<raw::Plugin>,
        key: &Range<usize>,
    ) -> Option<Plugin> {
        let raw::Plugin { file, sha256, limits, quarantine, isolation, pool, grants, canary } = raw.value?;
        let file = self.required(file, "file", key, "the path of the plugin's `.wasm` file");
        if let Some(file) = &file {
            self.places.add_file(name.clone(), file.span.clone());
        }
        let file = file.and_then(|file| self.file(file, "plugin"));
        let wait = limits.value.as_ref().map(|limits| limits.wait.clone());
        let limits = self.limits(limits);
        let sha256 = all(sha256.map(Text::parsed));
        let quarantine = self.quarantine(quarantine);
        let isolation = self.isolation(isolation, pool, limits.as_ref());
        let grants = self.grants(grants);
        let canary = all(canary.map(|canary| self.canary(canary, &name, file.as_deref())));
        let grants = grants?;
        if let Some(wait) = wait.filter(|wait| wait.is_written() && grants.is_empty()) {
            let warning = Problem::warning("nothing is granted to the plugin that a call could wait for");
            self.problems.push(warning.at(&wait.span).hint("leave `wait` out, or add `grants`"));
        }
        Some(Plugin {
            name,
            file: file?,
            sha256: sha256?.map(|digest| digest.0),
            limits: limits?,
            quarantine: quarantine?,
            isolation: isolation?,
            grants,
            canary: canary?,
        })
    }

    fn quarantine(&mut self, raw: Field<raw::Quarantine>) -> Option<Option<Quarantine>> {
        let raw::QuarantineTable { failures, window, then } = match raw.value? {
            raw::Quarantine::Table(table) => table,
            raw::Quarantine::Boolean(true) => return Some(Some(Quarantine::default())),
            raw::Quarantine::Boolean(false) => return Some(None),
        };
        let window = self.not_zero(window);
        let failures = failures.value?.0.into();
        Some(Some(Quarantine { failures, window: window?, then: then.value? }))
    }

    fn limits(&mut self, raw: Field<raw::Limits>) -> Option<Limits> {
        let raw::Limits { time, memory, output, wait } = raw.value?;
        let time = self.not_zero(time);
        let memory = self.within(memory, MEMORY);
        let output = self.within(output, Size(1)..=Size::gib(1));
        let wait = self.not_zero(wait);
        Some(Limits {
            time: time?,
            memory: usize::try_from(memory?.0).ok()?,
            output: usize::try_from(output?.0).ok()?,
            wait: wait?,
        })
    }

    fn isolation(
        &mut self,
        isolation: Field<raw::IsolationName>,
        pool: Option<Field<raw::Pool>>,
        limits: Option<&Limits>,
    ) -> Option<Isolation> {
        let span = pool.as_ref().map(|pool| pool.span.clone());
        let pool = all(pool.map(|pool| self.pool(pool, limits)));
        match isolation.value? {
            raw::IsolationName::Pooled => Some(Isolation::Pooled(pool?.unwrap_or_default())),
            raw::IsolationName::Event => {
                if let Some(span) = span {
                    let problem =
                        Problem::error("`pool` means nothing where every event has its own instance");
                    let hint = "add `isolation = \"pooled\"`, or leave `pool` out";
                    self.problems.push(problem.at(&span).hint(hint));
                }
                Some(Isolation::Event)
            }
        }
    }

    fn pool(&mut self, raw: Field<raw::Pool>, limits: Option<&Limits>) -> Option<Pool> {
        let raw::Pool { calls, idle, memory } = raw.value?;
        let idle = self.not_zero(idle);
        let memory_span = memory.is_written().then(|| memory.span.clone());
        let memory = usize::try_from(self.within(memory, MEMORY)?.0).ok()?;
        if let (Some(span), Some(limits)) = (memory_span, limits.filter(|limits| limits.memory < memory)) {
            let limit = Size(limits.memory as u64).print();
            let warning =
                Problem::warning(format!("the plugin's memory ends at its limit of {limit} before"));
            self.problems.push(warning.at(&span).hint("write less, or raise `limits.memory`"));
        }
        Some(Pool { calls: calls.value?.0, idle: idle?, memory })
    }

    fn canary(
        &mut self,
        raw: Field<raw::Canary>,
        plugin: &Arc<str>,
        current: Option<&Path>,
    ) -> Option<Canary> {
        let span = raw.span;
        let raw::Canary { file, sha256, share, shadow } = raw.value?;
        let file = self.required(file, "file", &span, "the path of the candidate's `.wasm` file");
        let file_span = file.as_ref().map(|file| file.span.clone());
        if let Some(span) = &file_span {
            self.places.add_canary(plugin.clone(), span.clone());
        }
        let file = file.and_then(|file| self.file(file, "candidate"));
        if let Some((_, span)) = file.as_deref().zip(file_span).filter(|(file, _)| Some(*file) == current) {
            let problem = Problem::error("the candidate is the file that the plugin has already");
            self.problems.push(problem.at(&span).hint("name another file, or leave `canary` out"));
        }
        let mode = self.canary_mode(share, shadow, &span);
        let sha256 = all(sha256.map(Text::parsed))?.map(|digest| digest.0);
        Some(Canary { file: file?, sha256, mode: mode? })
    }

    fn canary_mode(
        &mut self,
        share: Option<Field<raw::Share>>,
        shadow: Field<bool>,
        table: &Range<usize>,
    ) -> Option<CanaryMode> {
        match (share, shadow.value?) {
            (Some(share), false) => share.value.map(|share| CanaryMode::Share(share.0)),
            (None, true) => Some(CanaryMode::Shadow),
            (Some(_), true) => {
                let problem = Problem::error("both `share` and `shadow` are given").at(&shadow.span);
                self.problems
                    .push(problem.hint("a candidate handles events itself, or only sees copies of them"));
                None
            }
            (None, false) => {
                let problem = Problem::error("nothing says which events the candidate sees").at(table);
                self.problems.push(problem.hint("add `share = 0.05`, or `shadow = true` for copies of all"));
                None
            }
        }
    }

    /// Only steps of a pipeline have candidates beside them.
    pub(super) fn no_canary(&mut self, plugin: &Plugin, place: &Range<usize>, does: &str) {
        if plugin.canary.is_some() {
            let name = &plugin.name;
            let problem = Problem::error(format!(
                "plugin `{name}` {does}, and its `canary` would see nothing: only steps behind the journal have one"
            ));
            let hint =
                format!("leave `canary` out of `[plugins.{name}]`, and try it with `sluice plugin test`");
            self.problems.push(problem.at(place).hint(hint));
        }
    }
}

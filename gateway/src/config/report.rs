//! What is wrong with a config file: every mistake, each with its line, a caret and the next step.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet};

/// Everything found wrong in one run over a config file, in the file's order; warnings come along.
/// Holds at least one error. Inline secrets are masked in the lines that it shows.
#[derive(Clone, Debug)]
pub struct Report(Vec<Diagnostic>);

/// Something in a config that works but is probably not meant.
#[derive(Clone, Debug)]
pub struct Warning(Diagnostic);

impl Report {
    /// Each diagnostic with the line it is about, separated by empty lines; with terminal colours if `color`.
    pub fn render(&self, color: bool) -> String {
        let rendered: Vec<_> = self.0.iter().map(|diagnostic| diagnostic.render(color)).collect();
        rendered.join("\n\n")
    }

    /// One line for each error, fit for a log: `sluice.toml:3:1: unknown key …`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter(|diagnostic| diagnostic.problem.is_error()).map(Diagnostic::line)
    }

    /// How many errors there are, warnings not counted.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|diagnostic| diagnostic.problem.is_error()).count()
    }

    /// A report of errors, in the file's order.
    pub(super) fn of(source: &Arc<Source>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::place);
        Self(problems.into_iter().map(|problem| Diagnostic { source: source.clone(), problem }).collect())
    }

    /// A report of one error that is about the file as a whole.
    pub(super) fn of_file(path: &Path, problem: Problem) -> Self {
        Self(vec![Diagnostic { source: Arc::new(Source::new(path, String::new())), problem }])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

impl Warning {
    /// The warning with the line it is about; with terminal colours if `color`.
    pub fn render(&self, color: bool) -> String {
        self.0.render(color)
    }

    /// One line, fit for a log.
    pub fn line(&self) -> String {
        self.0.line()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Gives the value with its warnings, or a report as soon as there is one error. A value is missing only where
/// an error has been found.
pub(super) fn conclude<T>(
    value: Option<T>,
    source: Arc<Source>,
    mut problems: Vec<Problem>,
) -> Result<(T, Vec<Warning>), Report> {
    problems.sort_by_key(Problem::place);
    let failed = problems.iter().any(Problem::is_error);
    let diagnostics = problems.into_iter().map(|problem| Diagnostic { source: source.clone(), problem });
    match value {
        Some(value) if !failed => Ok((value, diagnostics.map(Warning).collect())),
        _ => Err(Report(diagnostics.collect())),
    }
}

/// The text that diagnostics quote from. Its spans are the file's; its secrets are masked.
#[derive(Debug, Default)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Self {
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), text, lines }
    }

    /// The line that a byte is in, from 1.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// From the first byte of a line up to the end of the last one.
    fn span(&self, first_line: usize, last_line: usize) -> Range<usize> {
        self.lines[first_line - 1]..self.lines.get(last_line).map_or(self.text.len(), |next| next - 1)
    }
}

/// One mistake, or one doubt: what it is, where it is and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    severity: Severity,
    message: String,
    /// In bytes of the file; `None` where it is about the file as a whole.
    span: Option<Range<usize>>,
    hint: Option<String>,
    /// Another place that has to do with it, and how.
    other: Option<(Range<usize>, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Problem {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span: None, hint: None, other: None }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    pub(super) fn at(mut self, span: &Range<usize>) -> Self {
        self.span = Some(span.clone());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn other(mut self, span: &Range<usize>, label: &'static str) -> Self {
        self.other = Some((span.clone(), label));
        self
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    #[cfg(test)]
    pub(super) fn span(&self) -> Option<&Range<usize>> {
        self.span.as_ref()
    }

    fn place(&self) -> Option<(usize, usize)> {
        self.span.as_ref().map(|span| (span.start, span.end))
    }

    fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

#[derive(Clone, Debug)]
struct Diagnostic {
    source: Arc<Source>,
    problem: Problem,
}

impl Diagnostic {
    fn render(&self, color: bool) -> String {
        let level = match self.problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let hint = self.problem.hint.iter().map(|hint| Level::HELP.with_name("hint").message(hint));
        let report = [level.primary_title(&self.problem.message).elements(self.snippet()).elements(hint)];
        if color { Renderer::styled().render(&report) } else { Renderer::plain().render(&report) }
    }

    /// The lines from the first to the last that have to do with it.
    fn snippet(&self) -> Option<Snippet<'_, Annotation<'_>>> {
        let (source, span, other) = (&*self.source, self.problem.span.as_ref()?, &self.problem.other);
        let spans = || other.iter().map(|(span, _)| span).chain([span]);
        let first_line = spans().map(|span| source.line(span.start)).min()?;
        let last_line = spans().map(|span| source.line(span.end)).max()?;
        let shown = source.span(first_line, last_line);
        let within = |span: &Range<usize>| span.start - shown.start..span.end - shown.start;
        let other =
            other.as_ref().map(|(span, label)| AnnotationKind::Context.span(within(span)).label(*label));
        Some(
            Snippet::source(&source.text[shown.clone()])
                .line_start(first_line)
                .path(source.path.to_string_lossy())
                .annotation(AnnotationKind::Primary.span(within(span)))
                .annotations(other),
        )
    }

    fn line(&self) -> String {
        let message = &self.problem.message;
        let at = match &self.problem.span {
            Some(span) => {
                let line = self.source.line(span.start);
                let before = self.source.span(line, line).start..span.start;
                let column = self.source.text[before].chars().count() + 1;
                format!("{}:{line}:{column}: {message}", self.source.path.display())
            }
            None => message.clone(),
        };
        match &self.problem.hint {
            Some(hint) => format!("{at} (hint: {hint})"),
            None => at,
        }
    }
}

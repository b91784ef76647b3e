//! A figure beside what it is to stay within.

/// A figure with its target.
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) what: &'a str,
    pub(crate) figure: f64,
    /// The most that the figure may be.
    pub(crate) most: f64,
    pub(crate) unit: &'a str,
}

impl Target<'_> {
    /// A row of the table. What could not be measured is missed.
    pub(crate) fn row(&self) -> String {
        let Self { name, what, figure, most, unit } = self;
        let verdict = if figure <= most { "ok" } else { "missed" };
        format!("| {name} | {what} | {figure:.2} {unit} | ≤ {most} {unit} | {verdict} |")
    }

    pub(crate) fn head() -> &'static str {
        "\n| figure | of | measured | target | |\n|---|---|---|---|---|"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: f64) -> String {
        Target { name: "n", what: "w", figure, most: 2.0, unit: "ms" }.row()
    }

    #[test]
    fn what_is_above_its_target_or_unknown_is_missed() {
        assert_eq!(row(2.0), "| n | w | 2.00 ms | ≤ 2 ms | ok |");
        assert!(row(2.1).ends_with("missed |"));
        assert!(row(f64::NAN).ends_with("missed |"));
    }
}

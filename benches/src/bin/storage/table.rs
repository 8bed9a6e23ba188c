//! The figures against their goals.

use std::fmt;
use std::time::Duration;

/// Rows of figures.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<Line>,
}

struct Line {
    figure: String,
    measured: String,
    goal: String,
    is_reached: bool,
}

impl Table {
    /// A figure without a goal.
    pub(crate) fn tell(&mut self, figure: impl Into<String>, measured: impl Into<String>) {
        let (figure, measured) = (figure.into(), measured.into());
        self.lines.push(Line { figure, measured, goal: String::new(), is_reached: true });
    }

    /// A figure that is to be `goal` or more.
    pub(crate) fn at_least(&mut self, figure: impl Into<String>, measured: f64, goal: f64) {
        self.judge(figure.into(), measured, format!("≥ {goal}"), measured >= goal);
    }

    /// A figure that is to be `goal` or less.
    pub(crate) fn at_most(&mut self, figure: impl Into<String>, measured: f64, goal: f64) {
        self.judge(figure.into(), measured, format!("≤ {goal}"), measured <= goal);
    }

    fn judge(&mut self, figure: String, measured: f64, goal: String, is_reached: bool) {
        self.lines.push(Line { figure, measured: format!("{measured:.2}"), goal, is_reached });
    }

    /// Whether every goal was reached.
    pub(crate) fn is_reached(&self) -> bool {
        self.lines.iter().all(|line| line.is_reached)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | measured | goal |\n| --- | --- | --- |")?;
        for Line { figure, measured, goal, is_reached } in &self.lines {
            let missed = if *is_reached { "" } else { ", missed" };
            writeln!(f, "| {figure} | {measured} | {goal}{missed} |")?;
        }
        Ok(())
    }
}

/// The one in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many a second.
pub(crate) fn rate(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64()
}

/// As 1,234 k/s.
pub(crate) fn thousands(rate: f64) -> String {
    format!("{:.1} k/s", rate / 1e3)
}

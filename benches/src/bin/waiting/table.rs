//! The figures against their goals.

use std::fmt;
use std::time::Duration;

use crate::scenario::{Figures, Scenario};

/// Bytes of memory per waiting redemption.
const MOST_BYTES: f64 = 400.0;
/// Microseconds of CPU per waiting order and look.
const MOST_MICROS: f64 = 5.0;
/// Of a core, for everything that waits.
const MOST_OF_A_CORE: f64 = 0.15;
/// How often everything is looked at for that.
const AT_EVERY: Duration = Duration::from_secs(5);
/// What the budget may be exceeded by within a second: a request does not arrive the moment it leaves.
const TOLERANCE: f64 = 1.1;
/// The same on a machine so busy that the stub may sleep for half a second while requests come.
const BUSY_TOLERANCE: f64 = 1.5;

/// Rows of figures.
pub(crate) struct Table {
    lines: Vec<Line>,
    is_judged: bool,
}

struct Line {
    figure: String,
    measured: String,
    /// What is to be reached, and by how much of it the figure stays within.
    goal: Option<(String, f64)>,
    /// Whether missing the goal fails the run.
    must: bool,
}

impl Table {
    /// Without `is_judged`, only the budget has to be held.
    pub(crate) fn new(is_judged: bool) -> Self {
        Self { lines: Vec::new(), is_judged }
    }

    /// Whether every goal was reached that must be.
    pub(crate) fn is_reached(&self) -> bool {
        self.lines.iter().all(|line| line.is_reached() || !line.must)
    }

    /// Adds what one scenario showed. The first one of a process, whose memory was clean before it, also tells of memory,
    /// and is the one that P8 is about.
    pub(crate) fn add(&mut self, scenario: &Scenario, waiting: u32, figures: &Figures, is_first: bool) {
        let page = scenario.page;
        let is_judged = self.is_judged && is_first;
        let count = f64::from(waiting);
        if is_first {
            let grown = |after: u64, before: u64| to_f64(after.saturating_sub(before)) / count;
            let bytes = grown(figures.after.anonymous, figures.before.anonymous);
            let resident = grown(figures.after.resident, figures.before.resident);
            let (from, to) = (mebibytes(figures.before.anonymous), mebibytes(figures.after.anonymous));
            self.most("P7: memory per waiting redemption", bytes, "B", 0, MOST_BYTES, is_judged);
            self.tell("with pages of files", format!("{resident:.0} B"));
            self.tell("the process before and after", format!("{from:.1} → {to:.1} MiB"));
        }
        let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6;
        let rows = to_f64(u64::try_from(figures.looks.rows).unwrap_or(u64::MAX)).max(1.0);
        let look = micros(figures.cpu) / rows;
        let name = format!("P8: CPU per order and look, pages of {page}");
        if is_first {
            self.most(&name, look, "µs", 2, MOST_MICROS, is_judged);
        } else {
            self.tell(&name, format!("{look:.2} µs"));
        }
        self.tell("the same rows, fetched and read without an engine", format!("{:.2} µs", figures.peer));
        self.tell("ratio", format!("{:.2}", look / figures.peer));
        let of_a_core = look * count / micros(AT_EVERY) * 100.0;
        let name = format!("P8: of a core, {waiting} waiting, one look per {AT_EVERY:?}");
        if is_first {
            self.most(&name, of_a_core, "%", 1, MOST_OF_A_CORE * 100.0, is_judged);
        } else {
            self.tell(&name, format!("{of_a_core:.1} %"));
        }
        let taken = figures.cpu.as_secs_f64() / figures.lasted.as_secs_f64() * 100.0;
        self.tell("of a core, as measured", format!("{taken:.1} %"));
        let interval = figures.looks.interval;
        self.tell(
            "from one look at an order to the next: mean, p99, longest",
            format!("{:.2}, {:.2}, {:.2} s", interval.mean / 1e3, interval.p99 / 1e3, interval.longest / 1e3),
        );
        let pages = format!("{} and {}", figures.looks.pages, figures.looks.singles);
        self.tell("pages and single looks", pages);

        let most = to_f64(u64::try_from(figures.all.most_in_a_second).unwrap_or(u64::MAX));
        let tolerance = if self.is_judged { TOLERANCE } else { BUSY_TOLERANCE };
        let allowed = f64::from(scenario.per_second) * tolerance;
        let name = format!("budget of {}: most requests in any second", scenario.per_second);
        self.most(&name, most, "", 0, allowed, true);

        let delays = &figures.delays;
        let at = |permille: usize| {
            let place = (delays.len() * permille / 1000).min(delays.len().saturating_sub(1));
            delays.get(place).map_or(f64::INFINITY, |delay| delay.as_secs_f64() * 1e3)
        };
        let count = delays.len();
        let name = format!("delay from an SMS to its code in storage, p50 of {count}");
        self.most(&name, at(500), "ms", 0, interval.mean / 2.0 + 50.0, false);
        self.most("p99", at(990), "ms", 0, interval.mean + 100.0, false);
        self.tell("taking everything over", format!("{:.1} s", figures.taken_over_in.as_secs_f64()));
    }

    fn most(&mut self, figure: &str, measured: f64, unit: &str, decimals: usize, goal: f64, must: bool) {
        let text = |value: f64| format!("{value:.decimals$} {unit}").trim_end().to_owned();
        let goal = (format!("≤ {}", text(goal)), measured / goal);
        self.lines.push(Line { figure: figure.to_owned(), measured: text(measured), goal: Some(goal), must });
    }

    fn tell(&mut self, figure: &str, measured: String) {
        self.lines.push(Line { figure: figure.to_owned(), measured, goal: None, must: false });
    }
}

impl Line {
    fn is_reached(&self) -> bool {
        self.goal.as_ref().is_none_or(|(_, ratio)| *ratio <= 1.0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | measured | goal | ratio |\n| --- | --- | --- | --- |")?;
        for line in &self.lines {
            let Line { figure, measured, .. } = line;
            match &line.goal {
                Some((goal, ratio)) => {
                    let missed = if line.is_reached() { "" } else { ", missed" };
                    writeln!(f, "| {figure} | {measured} | {goal} | {ratio:.2}{missed} |")?;
                }
                None => writeln!(f, "| {figure} | {measured} | | |")?,
            }
        }
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> f64 {
    to_f64(bytes) / 1_048_576.0
}

/// Exact up to 2^32 thousand, and no figure here is larger.
fn to_f64(number: u64) -> f64 {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    let part = |part| u32::try_from(part).map_or(f64::INFINITY, f64::from);
    part(thousands) * 1_000.0 + part(rest)
}

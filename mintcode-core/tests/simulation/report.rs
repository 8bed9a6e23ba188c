//! What a run has seen, as a table.

use std::collections::BTreeMap;
use std::fmt;

/// Without these a run has proved nothing.
const NEEDED: [&str; 5] = ["adopted", "swept", "fenced", "probed", "late SMS"];

#[derive(Clone, Default)]
pub(crate) struct Counts {
    counts: BTreeMap<&'static str, u64>,
    pairs: BTreeMap<(&'static str, &'static str), BTreeMap<&'static str, u64>>,
}

impl Counts {
    pub(crate) fn add(&mut self, what: &'static str, many: u64) {
        if many > 0 {
            *self.counts.entry(what).or_default() += many;
        }
    }

    /// A redemption that was `from` went on because of `cause`.
    pub(crate) fn pair(&mut self, from: &'static str, cause: &'static str, to: &'static str) {
        *self.pairs.entry((from, cause)).or_default().entry(to).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, many) in &other.counts {
            self.add(what, *many);
        }
        for (pair, ways) in &other.pairs {
            let known = self.pairs.entry(*pair).or_default();
            for (to, many) in ways {
                *known.entry(to).or_default() += many;
            }
        }
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// What should have happened and did not.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        NEEDED.into_iter().filter(|what| self.of(what) == 0).collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10}  what", "how often")?;
        for (what, many) in &self.counts {
            writeln!(f, "{many:>10}  {what}")?;
        }
        writeln!(f, "{:>10}  phase × event → next phase, {} pairs", "", self.pairs.len())?;
        for ((from, cause), ways) in &self.pairs {
            let ways: Vec<_> = ways.iter().map(|(to, many)| format!("{to} {many}")).collect();
            writeln!(f, "{:>10}  {from} × {cause} → {}", "", ways.join(", "))?;
        }
        Ok(())
    }
}

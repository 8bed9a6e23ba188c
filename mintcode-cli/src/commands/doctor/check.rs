//! What the doctor tells of one thing that was looked at.

use mintcode_store::Finding;
use serde::Serialize;

/// What was looked at, and what is wrong with it.
#[derive(Serialize)]
pub(super) struct Check {
    name: String,
    pub(super) ok: bool,
    /// What there is, or what is wrong.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invariant: Option<&'static str>,
    /// Where it is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<String>,
}

impl Check {
    pub(super) fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let (name, detail) = (name.into(), detail.into());
        Self { name, ok: true, detail, advice: None, invariant: None, ids: Vec::new() }
    }

    pub(super) fn bad(name: impl Into<String>, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { ok: false, advice: Some(advice), ..Self::good(name, detail) }
    }

    pub(super) fn of(finding: Finding) -> Self {
        let Finding { invariant, what, ids } = finding;
        let advice = match invariant {
            "I5" => "compare `mintcode redemption show ID` with the supplier's own list of the order",
            "I9" => "delete the backups that have it too, and report how it came to be",
            _ => {
                "stop the server, keep a backup, and report the ids; `mintcode redemption show ID` tells of each"
            }
        };
        Self { invariant: Some(invariant), ids, ..Self::bad("invariant", what, advice) }
    }

    pub(super) fn shown(&self) -> Vec<String> {
        let mark = if self.ok { "ok  " } else { "FAIL" };
        let invariant = self.invariant.map(|invariant| format!(" {invariant}")).unwrap_or_default();
        let mut lines = vec![format!("{mark} {}{invariant}: {}", self.name, self.detail)];
        if !self.ids.is_empty() {
            lines.push(format!("       at {}", self.ids.join(", ")));
        }
        lines.extend(self.advice.map(|advice| format!("       → {advice}")));
        lines
    }
}

//! What is left of the crash points without feature `crash-points`: nothing.

use mintcode_core::ports::Commit;

/// Nothing.
#[derive(Clone, Debug)]
pub(crate) struct Stored;

impl Stored {
    pub(crate) fn by<W>(_work: &W) -> Self {
        Self
    }

    pub(crate) fn called(_name: &str) -> Self {
        Self
    }

    pub(crate) fn change(_commit: &Commit) -> Self {
        Self
    }
}

pub(crate) fn before_commit<'a>(_stored: impl IntoIterator<Item = &'a Stored>) {}

pub(crate) fn after_commit<'a>(_stored: impl IntoIterator<Item = &'a Stored>) {}

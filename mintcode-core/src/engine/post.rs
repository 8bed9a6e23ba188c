//! Who works in this process right now.

use std::sync::{Mutex, PoisonError};

use crate::ids::WorkerId;

/// The worker that new redemptions are given to; none while this process drives none.
#[derive(Debug, Default)]
pub(super) struct Post(Mutex<Option<WorkerId>>);

impl Post {
    pub(super) fn set(&self, worker: Option<WorkerId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = worker;
    }

    pub(super) fn worker(&self) -> Option<WorkerId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Whoever tells the operator.

use async_trait::async_trait;

use super::reports::AlertRow;
use super::supplier::BoxError;

/// An alert could not be told; it is tried again later.
#[derive(Debug, thiserror::Error)]
#[error("the alert could not be told")]
pub struct AlertError(#[source] pub BoxError);

/// Tells the operator of alerts: a webhook, a pager, a chat.
///
/// The engine hands every alert over until it was told once, oldest first, with longer and longer pauses after
/// failures; a crash between telling and noting it tells it twice. What is told is in the log in any case.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// Tells one alert.
    async fn tell(&self, alert: &AlertRow) -> Result<(), AlertError>;
}

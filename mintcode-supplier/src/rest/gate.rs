//! The last look at the clock before a purchase leaves.
//!
//! Making a connection takes time, and a purchase must not be sent after its `send_by`. A purchase always opens a
//! connection of its own, so the moment between "connected" and "first byte" is inside the connector: this layer
//! wraps it and turns a connection that came too late into an error, with nothing sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chrono::{DateTime, Utc};
use mintcode_core::ports::Clock;
use mintcode_core::ports::supplier::BoxError;
use tower::{Layer, Service};

tokio::task_local! {
    /// When the purchase of this task has to be sent by.
    static SEND_BY: DateTime<Utc>;
}

/// Runs `purchase`, whose connection is refused by the gate after `send_by`.
pub(crate) async fn until<F: Future>(send_by: DateTime<Utc>, purchase: F) -> F::Output {
    SEND_BY.scope(send_by, purchase).await
}

/// The connection was made after the purchase had to be sent.
#[derive(Debug, thiserror::Error)]
#[error("too late to be sent")]
pub(crate) struct TooLate;

#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) clock: Arc<dyn Clock>,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, clock: Arc::clone(&self.clock) }
    }
}

#[derive(Clone)]
pub(crate) struct Gated<S> {
    inner: S,
    clock: Arc<dyn Clock>,
}

impl<S, Target> Service<Target> for Gated<S>
where
    S: Service<Target, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let connecting = self.inner.call(target);
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            let connection = connecting.await?;
            // Outside a purchase's task nothing says that sending is still allowed, so it is not.
            let in_time = SEND_BY.try_with(|send_by| clock.now() <= *send_by).unwrap_or(false);
            if in_time { Ok(connection) } else { Err(TooLate.into()) }
        })
    }
}

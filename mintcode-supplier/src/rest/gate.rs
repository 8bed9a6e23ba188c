//! The last look at a purchase's window before it leaves.
//!
//! Making a connection takes time, and a purchase must not be sent after its window has closed. A purchase always opens
//! a connection of its own, so the moment between "connected" and "first byte" is inside the connector: this layer
//! wraps it and turns a connection that came too late into an error, with nothing sent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use mintcode_core::ports::supplier::{BoxError, SendWindow};
use tower::{Layer, Service};

tokio::task_local! {
    /// While it is open, the purchase of this task may be sent.
    static WINDOW: SendWindow;
}

/// Runs `purchase`, whose connection is refused by the gate once `window` has closed.
pub(crate) async fn within<F: Future>(window: SendWindow, purchase: F) -> F::Output {
    WINDOW.scope(window, purchase).await
}

/// The connection was made after the purchase's window had closed.
#[derive(Debug, thiserror::Error)]
#[error("too late to be sent")]
pub(crate) struct TooLate;

#[derive(Clone)]
pub(crate) struct Gate;

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner }
    }
}

#[derive(Clone)]
pub(crate) struct Gated<S> {
    inner: S,
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
        Box::pin(async move {
            let connection = connecting.await?;
            // Outside a purchase's task nothing says that sending is still allowed, so it is not.
            let in_time = WINDOW.try_with(SendWindow::is_open).unwrap_or(false);
            if in_time { Ok(connection) } else { Err(TooLate.into()) }
        })
    }
}

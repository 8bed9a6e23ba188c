//! Running the router, and ending without making anyone wait.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::serve::ListenerExt;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long requests under way may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Serves `router` on `listener` until `shutdown` is ready, and tells it where each connection comes from.
///
/// Then no new connection is taken, held requests (long polls, event streams) end at once with what there is, other
/// requests get two seconds, and the call returns.
///
/// # Errors
///
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (closer, closing) = watch::channel(false);
    let router = router.layer(Extension(Closing(Some(closing.clone()))));
    let begin_to_close = async move {
        shutdown.await;
        closer.send_replace(true);
    };
    let patience = async move {
        Closing(Some(closing)).wait().await;
        tokio::time::sleep(GRACE).await;
    };
    // Events are small and wanted at once.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays slow");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        ended = axum::serve(listener, service).with_graceful_shutdown(begin_to_close).into_future() => ended,
        () = patience => Ok(()),
    }
}

/// Tells held requests that the server is about to end. Without [`serve`] it never comes.
#[derive(Clone, Default)]
pub(crate) struct Closing(Option<watch::Receiver<bool>>);

impl Closing {
    /// Ready once the server closes.
    pub(crate) async fn wait(&mut self) {
        match &mut self.0 {
            Some(closing) => {
                // The sender is dropped only after it has said so, or with the whole server.
                let _closed_or_gone = closing.wait_for(|is_closing| *is_closing).await.is_ok();
            }
            None => pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Closing {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

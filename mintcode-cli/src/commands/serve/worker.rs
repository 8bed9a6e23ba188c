//! `mintcode serve --role worker`: drives redemptions, and listens to nobody.

use mintcode_store::DatabaseUrl;
use serde_json::json;

use super::Parts;
use crate::exit::Failure;
use crate::output;
use crate::server::Signals;

/// Drives until a signal comes or something fails. What is left is taken over at once by another worker.
pub(super) async fn run(
    parts: Parts,
    database: &DatabaseUrl,
    mut signals: Signals,
    as_json: bool,
) -> Result<(), Failure> {
    let Parts { store, engine, app: _ } = parts;
    let mut running = engine.start();
    let database = database.to_string();
    if as_json {
        output::json(&json!({ "worker": database }))?;
    } else {
        output::line(&format!("working on {database}"))?;
    }
    tokio::select! {
        () = signals.next() => {}
        why = store.failed() => {
            return Err(Failure::work(format!("the database failed ({why}); start again once it is well")));
        }
        () = running.ended() => {
            return Err(Failure::work("the engine ended by itself; its log says why"));
        }
    }
    tracing::info!("stopping");
    signals.end_at_next();
    running.stop().await;
    store.close().await
}

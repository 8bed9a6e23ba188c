//! MintCode over HTTP: an axum adapter that parses, calls the core, and shows what came back.
//!
//! [`router`] makes an [`axum::Router`] of an [`App`], to be mounted in a service of your own or run by [`serve`].
//!
//! In reading order:
//! - `app`: the parts and the routes, and `address`: where a request comes from;
//! - `redeem`, `events`: what customers ask for, and `view`: what they are shown of a redemption;
//! - `admin`: what operators ask for, and `alert_webhook`: what they are told without asking;
//! - `pages`: the redeem page, the progress page, the pages of problems;
//! - `error`: every problem with its slug and status; `answer`: how problems and all responses are dressed;
//! - `texts`: every sentence in every language: a missing one does not compile.
//!
//! This crate knows no SQL and no supplier. Nothing a customer can see names a supplier, a plan or a supplier order.

mod address;
mod admin;
mod alert_webhook;
mod answer;
mod app;
mod asking;
mod error;
mod events;
mod health;
mod hex;
mod holder;
mod input;
mod lang;
mod pages;
mod redeem;
mod serve;
mod texts;
mod view;

pub use self::address::{BadProxy, Proxy};
pub use self::alert_webhook::{WebhookAlerts, WebhookError};
pub use self::app::{App, Site, router, worker_router};
pub use self::serve::serve;

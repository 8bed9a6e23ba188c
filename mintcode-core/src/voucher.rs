//! Vouchers: their codes, and where each of them stands.
//!
//! A code is random symbols, a keyed tag among them and a check symbol ([`Shape`]). Reading one ([`VoucherCode`])
//! needs no secret; the tag and the hash that storage knows it by are keyed ([`VoucherKeys`]).

mod admission;
mod alphabet;
mod code;
mod derive;
mod hex;
mod keys;
mod label;
mod mask;
mod note;
mod prf;
mod shape;
mod state;
mod void;

pub use admission::{Admission, Refusal, Request, Surroundings, admit};
pub use code::{CodeError, VoucherCode};
pub use derive::{BatchError, BatchNonce, Codes, Derivation, MAX_BATCH};
pub use hex::BadHex;
pub(crate) use hex::text as hex_text;
pub use keys::{KeyId, LabelKeys, VoucherHash, VoucherKeys, VoucherSecret, WeakSecret, identify};
pub use label::{BadLabel, Label};
pub use mask::{BadMask, Mask};
pub use note::{BadNote, Note};
pub use shape::{MAX_LENGTH, Shape, ShapeError};
pub use state::{IllegalVoucherMove, Resting, Voucher, VoucherEvent, VoucherState};
pub use void::{BadReason, VoidReason};

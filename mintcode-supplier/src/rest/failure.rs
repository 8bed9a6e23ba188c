//! What went wrong between a request and its answer.

use std::error::Error;
use std::io;

/// Why an exchange brought no usable answer: the source behind `NotSent` and `Unclear`.
///
/// Made of our own words only. The errors of the libraries below quote host names and bodies, which may hold the
/// supplier's name, numbers and messages; so no such error is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection was made, so nothing was sent.
    #[error("no connection ({})", kind_text(*.0))]
    Connect(Option<io::ErrorKind>),
    /// The moment the request had to be sent by had passed.
    #[error("too late to be sent")]
    TooLate,
    /// The connection broke after it was made.
    #[error("the connection broke ({})", kind_text(*.0))]
    Broken(Option<io::ErrorKind>),
    /// The time for the whole exchange ran out.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is longer than any this protocol has.
    #[error("an answer of status {status} that does not end")]
    TooLong {
        /// The HTTP status.
        status: u16,
    },
    /// An answer that is in no table.
    #[error("an unknown answer of status {status}, {bytes} bytes long")]
    Unknown {
        /// The HTTP status.
        status: u16,
        /// The length of its body.
        bytes: usize,
    },
    /// An answer that should be an order, a list or a profile, and lacks something.
    #[error("an answer of status {status} without a usable {part}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// What is missing or malformed.
        part: &'static str,
    },
}

impl Failure {
    /// Reads a transport error, telling apart "never connected" from everything that may have reached the supplier.
    pub(crate) fn from_transport(error: &reqwest::Error) -> Self {
        if find::<super::gate::TooLate>(error).is_some() {
            Self::TooLate
        } else if error.is_connect() {
            Self::Connect(io_kind(error))
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Broken(io_kind(error))
        }
    }

    /// Whether the request certainly never left.
    pub(crate) fn is_not_sent(self) -> bool {
        matches!(self, Self::Connect(_) | Self::TooLate)
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    find::<io::Error>(error).map(io::Error::kind)
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn kind_text(kind: Option<io::ErrorKind>) -> String {
    kind.map_or_else(|| "name resolution, TLS or protocol".to_owned(), |kind| kind.to_string())
}

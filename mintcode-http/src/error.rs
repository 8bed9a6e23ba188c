//! Every problem an answer can be, with its slug, its status and whether trying again helps.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use mintcode_core::engine::{MintError, RedeemError, ReportError, SupportError, WishError};
use mintcode_core::ledger::margin::TooLarge;
use mintcode_core::ports::{SkuError, StorageError};
use mintcode_core::redemption::FailureView;
use mintcode_core::sku::FieldError;
use mintcode_core::voucher::Refusal;

use crate::view::seconds_until;

/// Seconds after which storage that did not answer is worth another try.
const STORAGE_RETRY: u64 = 5;
/// Seconds after which a SKU whose plans only an operator can switch on is worth another try.
const PLANS_RETRY: u64 = 60;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slug {
    VoucherInvalid,
    VoucherUsed,
    VoucherExpired,
    VoucherCancelled,
    VoucherBusy,
    CoolingDown,
    TooManyRequests,
    DailyLimit,
    NotOffered,
    RedemptionsExhausted,
    NotReady,
    RedemptionFailed,
    Purged,
    BatchSealed,
    ActionNotAllowed,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    MethodNotAllowed,
    Unauthorized,
    Unavailable,
    Internal,
}

impl Slug {
    /// All of them, each of which has a page.
    pub(crate) const ALL: [Self; 22] = [
        Self::VoucherInvalid,
        Self::VoucherUsed,
        Self::VoucherExpired,
        Self::VoucherCancelled,
        Self::VoucherBusy,
        Self::CoolingDown,
        Self::TooManyRequests,
        Self::DailyLimit,
        Self::NotOffered,
        Self::RedemptionsExhausted,
        Self::NotReady,
        Self::RedemptionFailed,
        Self::Purged,
        Self::BatchSealed,
        Self::ActionNotAllowed,
        Self::IdempotencyMismatch,
        Self::InvalidRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Unauthorized,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The slug itself, the last part of a problem's `type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::VoucherInvalid => "voucher-invalid",
            Self::VoucherUsed => "voucher-used",
            Self::VoucherExpired => "voucher-expired",
            Self::VoucherCancelled => "voucher-cancelled",
            Self::VoucherBusy => "voucher-busy",
            Self::CoolingDown => "cooling-down",
            Self::TooManyRequests => "too-many-requests",
            Self::DailyLimit => "daily-limit",
            Self::NotOffered => "not-offered",
            Self::RedemptionsExhausted => "redemptions-exhausted",
            Self::NotReady => "not-ready",
            Self::RedemptionFailed => "redemption-failed",
            Self::Purged => "purged",
            Self::BatchSealed => "batch-sealed",
            Self::ActionNotAllowed => "action-not-allowed",
            Self::IdempotencyMismatch => "idempotency-mismatch",
            Self::InvalidRequest => "invalid-request",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::VoucherInvalid | Self::NotFound => StatusCode::NOT_FOUND,
            Self::VoucherUsed
            | Self::VoucherExpired
            | Self::VoucherCancelled
            | Self::RedemptionFailed
            | Self::Purged
            | Self::BatchSealed => StatusCode::GONE,
            Self::VoucherBusy | Self::RedemptionsExhausted | Self::NotReady | Self::ActionNotAllowed => {
                StatusCode::CONFLICT
            }
            Self::CoolingDown | Self::TooManyRequests | Self::DailyLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::NotOffered => StatusCode::FORBIDDEN,
            Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same request may succeed later.
    fn is_retryable(self) -> bool {
        match self {
            Self::VoucherBusy
            | Self::CoolingDown
            | Self::TooManyRequests
            | Self::DailyLimit
            | Self::NotReady
            | Self::Unavailable
            | Self::Internal => true,
            Self::VoucherInvalid
            | Self::VoucherUsed
            | Self::VoucherExpired
            | Self::VoucherCancelled
            | Self::NotOffered
            | Self::RedemptionsExhausted
            | Self::RedemptionFailed
            | Self::Purged
            | Self::BatchSealed
            | Self::ActionNotAllowed
            | Self::IdempotencyMismatch
            | Self::InvalidRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Unauthorized => false,
        }
    }
}

/// A problem to be answered. `answer` gives it its words, in the reader's language.
#[derive(Clone)]
pub(crate) struct ApiError {
    pub(crate) slug: Slug,
    pub(crate) retryable: bool,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    pub(crate) errors: Vec<FieldError>,
    /// How the redemption failed, where that is the problem.
    pub(crate) failure: Option<FailureView>,
    /// For the log only.
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub(crate) fn new(slug: Slug) -> Self {
        Self {
            slug,
            retryable: slug.is_retryable(),
            retry_after: None,
            errors: Vec::new(),
            failure: None,
            cause: None,
        }
    }

    /// A request whose `field` is wrong.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Slug::InvalidRequest).with_error(field, message)
    }

    pub(crate) fn with_error(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError::new(field, message));
        self
    }

    pub(crate) fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn caused_by(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Arc::new(cause)), ..self }
    }

    /// A redemption that ended without a code.
    pub(crate) fn failed(failure: Option<FailureView>, now: DateTime<Utc>) -> Self {
        let retry_after = failure.and_then(|failure| failure.retry_at).and_then(|at| seconds_until(at, now));
        let retryable = failure.is_some_and(|failure| failure.retryable);
        Self { retryable, retry_after, failure, ..Self::new(Slug::RedemptionFailed) }
    }

    /// Why a voucher is not being redeemed, `now`.
    pub(crate) fn redeem(error: RedeemError, now: DateTime<Utc>) -> Self {
        match error {
            RedeemError::Invalid => Self::new(Slug::VoucherInvalid),
            RedeemError::TooManyGuesses { retry_after } => {
                let seconds = retry_after.as_millis().div_ceil(1000);
                Self::new(Slug::TooManyRequests).after(u64::try_from(seconds).unwrap_or(u64::MAX))
            }
            RedeemError::Refused(refusal) => Self::refused(&refusal, now),
            RedeemError::Storage(error) => error.into(),
        }
    }

    fn refused(refusal: &Refusal, now: DateTime<Utc>) -> Self {
        let until = |slug, until| Self::new(slug).after(seconds_until(until, now).unwrap_or(1));
        match refusal {
            Refusal::Unknown => Self::new(Slug::VoucherInvalid),
            Refusal::NoRedemption => Self::new(Slug::NotFound),
            Refusal::Used => Self::new(Slug::VoucherUsed),
            Refusal::Busy => Self::new(Slug::VoucherBusy),
            Refusal::Expired => Self::new(Slug::VoucherExpired),
            Refusal::Cancelled => Self::new(Slug::VoucherCancelled),
            Refusal::Exhausted => Self::new(Slug::RedemptionsExhausted),
            Refusal::CoolingDown { until: ready } => until(Slug::CoolingDown, *ready),
            Refusal::Unavailable { until: Some(probe) } => until(Slug::Unavailable, *probe),
            Refusal::Unavailable { until: None } => Self::new(Slug::Unavailable).after(PLANS_RETRY),
            Refusal::NotOffered => Self::new(Slug::NotOffered),
            Refusal::TooMany { until: free } => until(Slug::TooManyRequests, *free),
            Refusal::DailyLimit { until: free } => until(Slug::DailyLimit, *free),
            Refusal::IdempotencyMismatch => Self::new(Slug::IdempotencyMismatch),
            Refusal::NotAllowed => Self::new(Slug::ActionNotAllowed),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        let problem = match error {
            StorageError::Conflict
            | StorageError::Fenced
            | StorageError::Claimed
            | StorageError::ProbeTaken
            | StorageError::VoucherMoved
            | StorageError::Unavailable(_)
            | StorageError::Unknown(_) => Self::new(Slug::Unavailable).after(STORAGE_RETRY),
            StorageError::Corrupt { .. } => Self::new(Slug::Internal),
        };
        problem.caused_by(error)
    }
}

impl From<WishError> for ApiError {
    fn from(error: WishError) -> Self {
        match error {
            WishError::NotFound => Self::new(Slug::NotFound),
            WishError::NotAllowed => Self::new(Slug::ActionNotAllowed),
            WishError::Storage(error) => error.into(),
        }
    }
}

impl From<MintError> for ApiError {
    fn from(error: MintError) -> Self {
        match error {
            MintError::NoSku => Self::field("sku_id", "names no SKU on sale"),
            MintError::Count => Self::field("count", error.to_string()),
            MintError::IdempotencyMismatch => Self::new(Slug::IdempotencyMismatch),
            MintError::Sealed => Self::new(Slug::BatchSealed),
            MintError::Storage(error) => error.into(),
            MintError::NotCodes(_) | MintError::Duplicate(_) | MintError::Derive(_) => {
                Self::new(Slug::Internal).caused_by(error)
            }
        }
    }
}

impl From<SupportError> for ApiError {
    fn from(error: SupportError) -> Self {
        match error {
            SupportError::NotFound => Self::new(Slug::NotFound),
            SupportError::NotAllowed { .. } => {
                Self::new(Slug::ActionNotAllowed).with_error("state", error.to_string())
            }
            SupportError::InThePast => Self::field("expires_at", error.to_string()),
            SupportError::Mint(error) => error.into(),
            SupportError::Storage(error) => error.into(),
        }
    }
}

impl From<TooLarge> for ApiError {
    fn from(error: TooLarge) -> Self {
        Self::new(Slug::Internal).caused_by(error)
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::TooLarge(error) => error.into(),
            ReportError::Storage(error) => error.into(),
        }
    }
}

impl From<SkuError> for ApiError {
    fn from(error: SkuError) -> Self {
        let conflict = |field: &str| Self::new(Slug::ActionNotAllowed).with_error(field, error.to_string());
        match error {
            SkuError::NoSku | SkuError::NoPlan => Self::new(Slug::NotFound),
            SkuError::Exists => conflict("id"),
            SkuError::Fixed(field) => conflict(field),
            SkuError::LabelTaken => conflict("label"),
            SkuError::Invalid(error) => Self::field(error.field, error.message),
            SkuError::Denied(errors) => errors.into(),
            SkuError::Storage(error) => error.into(),
        }
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Slug::InvalidRequest) }
    }
}

impl From<askama::Error> for ApiError {
    fn from(error: askama::Error) -> Self {
        Self::new(Slug::Internal).caused_by(error)
    }
}

impl IntoResponse for ApiError {
    /// A response without words: `answer` finds the problem in it and writes them.
    fn into_response(self) -> Response {
        let mut response = self.slug.status().into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.slug == Slug::Unauthorized {
            headers
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer realm=\"admin\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError").field("slug", &self.slug).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_slug_and_status_of_the_contract() {
        let now = DateTime::UNIX_EPOCH;
        let until = now + std::time::Duration::from_millis(4_001);
        for (refusal, slug, status, retry_after) in [
            (Refusal::Unknown, "voucher-invalid", 404, None),
            (Refusal::NoRedemption, "not-found", 404, None),
            (Refusal::Used, "voucher-used", 410, None),
            (Refusal::Busy, "voucher-busy", 409, None),
            (Refusal::Expired, "voucher-expired", 410, None),
            (Refusal::Cancelled, "voucher-cancelled", 410, None),
            (Refusal::Exhausted, "redemptions-exhausted", 409, None),
            (Refusal::CoolingDown { until }, "cooling-down", 429, Some(5)),
            (Refusal::Unavailable { until: None }, "unavailable", 503, Some(PLANS_RETRY)),
            (Refusal::Unavailable { until: Some(until) }, "unavailable", 503, Some(5)),
            (Refusal::NotOffered, "not-offered", 403, None),
            (Refusal::TooMany { until }, "too-many-requests", 429, Some(5)),
            (Refusal::DailyLimit { until }, "daily-limit", 429, Some(5)),
            (Refusal::IdempotencyMismatch, "idempotency-mismatch", 422, None),
            (Refusal::NotAllowed, "action-not-allowed", 409, None),
        ] {
            let problem = ApiError::redeem(RedeemError::Refused(refusal), now);
            let seen = (problem.slug.name(), problem.slug.status().as_u16(), problem.retry_after);
            assert_eq!(seen, (slug, status, retry_after));
        }
    }
}

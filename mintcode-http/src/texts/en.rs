//! English.

use mintcode_core::redemption::{FailureKind, Status};

use super::{PageTexts, ProblemText, StatusText};
use crate::error::Slug;

pub(super) const PAGE: PageTexts = PageTexts {
    brand: "MintCode",
    slogan: "One voucher, one verification code, delivered on the spot.",
    redeem_title: "Redeem a voucher",
    code_label: "Your voucher code",
    code_hint: "Paste it as it is: spaces, hyphens and lower case do not matter. Several codes: one per line.",
    redeem: "Redeem",
    how_title: "How it works",
    how: [
        "Paste your voucher. A phone number is got for you at that moment.",
        "Enter the number where you need the code, and have the code sent.",
        "The code appears here. Without a code the voucher is not spent.",
    ],
    begun_title: "Being redeemed",
    refused_title: "Not redeemed",
    open_progress: "See progress",
    open_all: "See the progress of all",
    progress_title: "Your redemption",
    your_number: "Your number",
    your_code: "Your verification code",
    message: "The message",
    messages: "All messages",
    voucher: "Voucher",
    time_left: "Time left",
    goes_on_in: "Goes on in",
    again_in: "Possible again in",
    copy_number: "Copy number",
    copy_code: "Copy code",
    copied: "Copied",
    another_number: "This number does not work",
    give_up: "Give up",
    try_again: "Try again",
    followed: "Go to the next try",
    redeem_another: "Redeem another voucher",
    go_back: "Go back",
    problem_type: "Problem",
    terms: "Terms",
    support: "Support",
    language: "Language",
};

pub(super) fn status(status: Status) -> StatusText {
    let (headline, next) = match status {
        Status::Queued => ("Your voucher is accepted.", "A number is got for you next."),
        Status::Ordering => ("Getting you a number…", "This usually takes a few seconds."),
        Status::WaitingSms => (
            "Waiting for the SMS.",
            "Enter the number where you need the code and have it sent. The code appears here by itself.",
        ),
        Status::CoolingDown => {
            ("A short pause.", "Getting a number goes on by itself; you need not do anything.")
        }
        Status::Releasing => {
            ("The number is being given back.", "If its SMS arrives after all, you still get the code.")
        }
        Status::Delivered => {
            ("Here is your code.", "Messages that still arrive on this number are shown here as well.")
        }
        Status::Failed => ("This try ended without a code.", "The voucher was not spent."),
        Status::Cancelled => ("You gave up.", "The voucher was not spent and stays good."),
    };
    StatusText { headline, next }
}

pub(super) fn failure(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::OutOfStock => "No number is in stock right now. Try again later, or contact support.",
        FailureKind::NoSms => "No SMS arrived on the number. Try again: you get another number.",
        FailureKind::TemporarilyUnavailable => {
            "Numbers cannot be had for the moment. Try again in a few minutes."
        }
        FailureKind::Deadline => "No number was found in time. Try again.",
        FailureKind::ContactSupport => {
            "This needs the operator's attention. Contact support; your voucher is not spent."
        }
    }
}

pub(super) fn tries_left(tries: u32) -> String {
    match tries {
        0 => "No tries left.".to_owned(),
        1 => "1 try left.".to_owned(),
        more => format!("{more} tries left."),
    }
}

pub(super) fn too_many_codes(most: usize) -> String {
    format!("At most {most} codes are redeemed at once. Take some out and redeem them afterwards.")
}

pub(super) fn wait(seconds: u64) -> String {
    match seconds {
        1 => "Try again in 1 second.".to_owned(),
        2..=119 => format!("Try again in {seconds} seconds."),
        120..=7_199 => format!("Try again in {} minutes.", seconds.div_ceil(60)),
        more => format!("Try again in {} hours.", more.div_ceil(3_600)),
    }
}

pub(super) fn contact(contact: &str) -> String {
    format!("Support: {contact}")
}

pub(super) fn problem(slug: Slug) -> ProblemText {
    let (title, detail) = match slug {
        Slug::VoucherInvalid => (
            "Not a voucher",
            "This is no voucher of ours. Check it for typing errors and paste the whole code as you received it.",
        ),
        Slug::VoucherUsed => (
            "Voucher already used",
            "A code was already delivered for this voucher. If it was you, open the page on which you redeemed it.",
        ),
        Slug::VoucherExpired => {
            ("Voucher expired", "The time of this voucher has run out. Ask whoever sold it to you.")
        }
        Slug::VoucherCancelled => {
            ("Voucher taken back", "The seller has taken this voucher back. Ask whoever sold it to you.")
        }
        Slug::VoucherBusy => (
            "Voucher in progress",
            "This voucher is being redeemed elsewhere. Go on where it was begun, or try again in a few minutes.",
        ),
        Slug::CoolingDown => (
            "A short pause",
            "Between two tries of a voucher there is a short pause. The voucher is still good.",
        ),
        Slug::TooManyRequests => (
            "Too many at once",
            "More vouchers were redeemed in the last hour than are taken. This voucher stays good and no try was used up.",
        ),
        Slug::DailyLimit => (
            "Enough for today",
            "The day's limit of vouchers is reached. This voucher stays good and no try was used up.",
        ),
        Slug::NotOffered => (
            "Not offered here",
            "Codes for this service are not offered here. The voucher was not spent. Contact support.",
        ),
        Slug::RedemptionsExhausted => (
            "No tries left",
            "All tries of this voucher are used up. Contact support, who can give them back.",
        ),
        Slug::NotReady => ("No code yet", "The code has not arrived yet. Ask again in a moment."),
        Slug::RedemptionFailed => (
            "Ended without a code",
            "This redemption ended without a code, and the voucher was not spent. Redeem the voucher again.",
        ),
        Slug::Purged => (
            "Code no longer kept",
            "The code was delivered, and has been removed since: numbers and messages are kept for a limited time.",
        ),
        Slug::BatchSealed => (
            "Batch sealed",
            "The codes of this batch can no longer be downloaded. Mint a new batch if they are lost.",
        ),
        Slug::ActionNotAllowed => (
            "Not possible now",
            "Things stand so that this cannot be done. Look at how they are now, and decide again.",
        ),
        Slug::InFlight => (
            "Still under way",
            "The same request is being carried out right now. Send it again in a moment for its answer.",
        ),
        Slug::IdempotencyMismatch => (
            "Idempotency key used before",
            "This Idempotency-Key was used for another request. Take a fresh key for a new request.",
        ),
        Slug::InvalidRequest => {
            ("Invalid request", "The request does not fit; `errors` names what to change. Nothing was done.")
        }
        Slug::NotFound => ("Not found", "There is nothing here. Check the address."),
        Slug::MethodNotAllowed => (
            "Method not allowed",
            "This address does not answer to that method; the Allow header names those it does.",
        ),
        Slug::Unauthorized => (
            "Key missing or wrong",
            "Send the operator's key in the header: Authorization: Bearer followed by the key.",
        ),
        Slug::Unavailable => (
            "Unavailable for the moment",
            "This cannot be done for the moment. Nothing was lost and no try was used up.",
        ),
        Slug::Internal => (
            "Our mistake",
            "Something went wrong on our side, and it was recorded. Nothing was lost; try again, or tell support the request id.",
        ),
    };
    ProblemText { title, detail }
}

//! Every sentence that people read, in every language: a missing one does not compile.

mod en;
mod zh;

use mintcode_core::redemption::{FailureKind, Status};

use crate::app::Site;
use crate::error::{ApiError, Slug};
use crate::lang::Lang;

/// A problem in words.
pub(crate) struct ProblemText {
    pub(crate) title: &'static str,
    /// What happened and what to do next.
    pub(crate) detail: &'static str,
}

/// Where a redemption stands, in words.
pub(crate) struct StatusText {
    pub(crate) headline: &'static str,
    /// What happens next.
    pub(crate) next: &'static str,
}

/// The words of the pages.
pub(crate) struct PageTexts {
    pub(crate) brand: &'static str,
    pub(crate) slogan: &'static str,
    pub(crate) redeem_title: &'static str,
    pub(crate) code_label: &'static str,
    pub(crate) code_hint: &'static str,
    pub(crate) redeem: &'static str,
    pub(crate) how_title: &'static str,
    pub(crate) how: [&'static str; 3],
    pub(crate) begun_title: &'static str,
    pub(crate) refused_title: &'static str,
    pub(crate) open_progress: &'static str,
    pub(crate) open_all: &'static str,
    pub(crate) progress_title: &'static str,
    pub(crate) your_number: &'static str,
    pub(crate) your_code: &'static str,
    pub(crate) message: &'static str,
    pub(crate) messages: &'static str,
    pub(crate) voucher: &'static str,
    pub(crate) time_left: &'static str,
    pub(crate) goes_on_in: &'static str,
    pub(crate) again_in: &'static str,
    pub(crate) copy_number: &'static str,
    pub(crate) copy_code: &'static str,
    pub(crate) copied: &'static str,
    pub(crate) another_number: &'static str,
    pub(crate) give_up: &'static str,
    pub(crate) try_again: &'static str,
    pub(crate) followed: &'static str,
    pub(crate) redeem_another: &'static str,
    pub(crate) go_back: &'static str,
    pub(crate) problem_type: &'static str,
    pub(crate) terms: &'static str,
    pub(crate) support: &'static str,
    pub(crate) language: &'static str,
}

impl Lang {
    pub(crate) fn page(self) -> &'static PageTexts {
        match self {
            Self::En => &en::PAGE,
            Self::Zh => &zh::PAGE,
        }
    }

    pub(crate) fn problem(self, slug: Slug) -> ProblemText {
        match self {
            Self::En => en::problem(slug),
            Self::Zh => zh::problem(slug),
        }
    }

    pub(crate) fn status(self, status: Status) -> StatusText {
        match self {
            Self::En => en::status(status),
            Self::Zh => zh::status(status),
        }
    }

    /// The voucher's tries left, as a sentence.
    pub(crate) fn tries_left(self, tries: u32) -> String {
        match self {
            Self::En => en::tries_left(tries),
            Self::Zh => zh::tries_left(tries),
        }
    }

    /// What to do with more codes than one form takes.
    pub(crate) fn too_many_codes(self, most: usize) -> String {
        match self {
            Self::En => en::too_many_codes(most),
            Self::Zh => zh::too_many_codes(most),
        }
    }

    /// What to do after a failure, with whom to ask where that helps.
    pub(crate) fn failure(self, kind: FailureKind, site: &Site) -> String {
        let text = match self {
            Self::En => en::failure(kind),
            Self::Zh => zh::failure(kind),
        };
        let asks_support = match kind {
            FailureKind::OutOfStock | FailureKind::ContactSupport => true,
            FailureKind::NoSms | FailureKind::TemporarilyUnavailable | FailureKind::Deadline => false,
        };
        self.joined(vec![text.to_owned()], asks_support, site)
    }

    /// What `problem` is and what to do next.
    pub(crate) fn detail(self, problem: &ApiError, site: &Site) -> String {
        let text = match problem.failure {
            Some(failure) => self.failure(failure.kind, site),
            None => self.problem(problem.slug).detail.to_owned(),
        };
        let wait = problem.retry_after.map(|seconds| match self {
            Self::En => en::wait(seconds),
            Self::Zh => zh::wait(seconds),
        });
        self.joined([Some(text), wait].into_iter().flatten().collect(), asks_support(problem.slug), site)
    }

    fn joined(self, mut sentences: Vec<String>, asks_support: bool, site: &Site) -> String {
        if let Some(contact) = site.support_contact.as_ref().filter(|_| asks_support) {
            sentences.push(match self {
                Self::En => en::contact(contact),
                Self::Zh => zh::contact(contact),
            });
        }
        // Chinese sentences follow each other without a space.
        sentences.join(match self {
            Self::En => " ",
            Self::Zh => "",
        })
    }
}

/// Whether the problem tells the reader to contact support.
fn asks_support(slug: Slug) -> bool {
    match slug {
        Slug::RedemptionsExhausted | Slug::VoucherExpired | Slug::VoucherCancelled | Slug::NotOffered => true,
        Slug::VoucherInvalid
        | Slug::VoucherUsed
        | Slug::VoucherBusy
        | Slug::CoolingDown
        | Slug::TooManyRequests
        | Slug::DailyLimit
        | Slug::NotReady
        | Slug::RedemptionFailed
        | Slug::Purged
        | Slug::BatchSealed
        | Slug::ActionNotAllowed
        | Slug::IdempotencyMismatch
        | Slug::InFlight
        | Slug::InvalidRequest
        | Slug::NotFound
        | Slug::MethodNotAllowed
        | Slug::Unauthorized
        | Slug::Unavailable
        | Slug::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_and_failure_has_words_of_its_own_in_both_languages() {
        let mut seen = std::collections::HashSet::new();
        let site = Site::default();
        for lang in [Lang::En, Lang::Zh] {
            for slug in Slug::ALL {
                let text = lang.problem(slug);
                assert!(seen.insert(text.title) && seen.insert(text.detail), "{} in {lang:?}", slug.name());
            }
            for kind in FailureKind::ALL {
                assert!(!lang.failure(kind, &site).is_empty());
            }
        }
    }

    #[test]
    fn the_support_contact_stands_where_it_helps() {
        let site = Site { support_contact: Some("help@example.org".to_owned()), ..Site::default() };
        for lang in [Lang::En, Lang::Zh] {
            let with = |kind| lang.failure(kind, &site).contains("help@example.org");
            assert!(with(FailureKind::OutOfStock) && with(FailureKind::ContactSupport));
            assert!(!with(FailureKind::NoSms));
        }
    }
}

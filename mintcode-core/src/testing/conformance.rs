//! The suite that every storage has to pass, a test a case.
//!
//! A case is a function that is given storage with nothing in it, and tells one sentence of the ports' contract.
//! [`storage_conformance!`](crate::storage_conformance) makes each of them a test of its own, so that one failure hides
//! no other. Whoever writes a storage of their own has this in their tests, with `tokio` (features `macros` and
//! `rt-multi-thread`) among the development dependencies:
//!
//! ```
//! // The expression is evaluated once a test and gives storage of the test's own.
//! mod memory {
//!     mintcode_core::storage_conformance!(async { mintcode_core::testing::MemoryStorage::new() });
//! }
//! # fn main() {}
//! ```
//!
//! Cases compare whole values that are read back, not only answers. Their times are whole microseconds: a storage may
//! cut finer parts off.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a case is a test, and panics where the storage breaks its contract"
)]

pub mod batches;
pub mod begin;
pub mod catalogue;
pub mod claims;
pub mod commit;
pub mod inbox;
pub mod ownership;
mod stage;
pub mod trails;

use std::sync::Arc;

use crate::ports::{Catalogue, Storage, Vouchers};

/// What the suite tests: one thing that implements every storage port.
pub trait AllPorts: Storage + Catalogue + Vouchers {}

impl<T: Storage + Catalogue + Vouchers> AllPorts for T {}

/// Storage with nothing in it, as a case gets it.
pub type Subject = Arc<dyn AllPorts>;

/// Makes every case of the suite a test.
///
/// Takes an expression that makes a future of empty storage, which implements [`Storage`], [`Catalogue`] and
/// [`Vouchers`]; see [the module](crate::testing::conformance).
#[macro_export]
macro_rules! storage_conformance {
    (@cases $fresh:expr => $($group:ident: $($case:ident,)+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let store: $crate::testing::conformance::Subject = ::std::sync::Arc::new($fresh.await);
                $crate::testing::conformance::$group::$case(&store).await;
            }
        )+)+
    };
    ($fresh:expr) => {
        $crate::storage_conformance! { @cases $fresh =>
            begin:
                a_voucher_begins_a_redemption,
                a_redemption_may_begin_without_an_owner,
                any_of_the_hashes_finds_the_voucher,
                the_same_session_gets_the_same_redemption,
                the_same_idempotency_key_gets_the_same_redemption,
                the_same_holder_sees_how_far_it_is,
                another_holder_is_told_that_the_voucher_is_busy,
                a_delivered_voucher_is_used_except_for_its_holder,
                an_expired_voucher_is_stored_as_expired,
                an_exhausted_voucher_is_refused,
                a_cooling_down_voucher_is_refused_until_then,
                an_unknown_voucher_is_refused,
                with_all_plans_off_nothing_begins,
                an_idempotency_key_with_another_voucher_tells_nothing,
                an_idempotency_key_outlives_its_redemption,
                a_refused_request_leaves_no_key_behind,
                a_failed_redemption_is_followed_by_another,
                the_code_posted_again_follows_the_failed_redemption,
                another_holders_redemption_follows_nobodys,
                a_running_redemption_cannot_be_tried_again,
                an_unknown_redemption_cannot_be_tried_again,
                a_later_redemption_knows_the_earlier_ones,
                the_first_redemption_sets_the_vouchers_end,
                an_id_in_use_is_a_conflict,
                sixty_four_at_once_begin_one_redemption,
                purchases_are_counted_on_the_voucher,
            ;
            commit:
                every_phase_is_read_back_whole,
                attempts_and_messages_are_read_back_whole,
                a_stale_commit_is_a_conflict,
                a_version_left_out_is_a_conflict,
                a_commit_at_an_older_epoch_is_fenced,
                a_commit_at_a_newer_epoch_is_fenced,
                a_commit_both_stale_and_fenced_is_fenced,
                a_commit_of_an_unknown_redemption_is_a_conflict,
                an_order_of_another_redemption_is_claimed,
                a_stale_commit_of_a_claimed_order_is_a_conflict,
                an_order_of_another_attempt_is_claimed,
                a_claim_outlives_its_redemption,
                the_same_order_id_at_another_supplier_is_free,
                voucher_events_are_applied_in_order,
                an_impossible_voucher_event_changes_nothing,
                a_former_redemption_does_not_move_the_voucher,
                delivered_and_fulfilled_go_together,
                a_delivery_goes_on_being_settled,
                a_voucher_has_one_live_redemption,
                consumed_inbox_items_are_removed,
                the_history_is_whole_and_in_order,
                a_commit_leaves_owner_and_follower_alone,
                of_many_changes_of_one_version_one_is_stored,
                a_bad_change_fails_alone,
                a_commit_touches_no_other_redemption,
            ;
            ownership:
                an_adopted_redemption_has_a_new_owner_and_epoch,
                an_adopted_redemption_can_be_changed_by_its_new_owner,
                the_oldest_are_adopted_first,
                own_redemptions_are_not_adopted,
                redemptions_without_an_owner_are_adopted,
                redemptions_at_rest_are_not_adopted,
                unsettled_redemptions_are_adopted,
                two_adopters_get_nothing_twice,
                one_redemption_is_adopted_at_rest_or_not,
                an_own_redemption_is_adopted_without_a_new_epoch,
                an_unknown_redemption_is_not_adopted,
            ;
            inbox:
                every_kind_of_item_is_read_back_whole,
                items_are_numbered_in_the_order_of_arrival,
                ids_are_never_used_again,
                only_the_named_items_are_discarded,
                redemptions_with_something_in_their_inbox_are_named_once,
                an_unknown_redemption_cannot_be_told_anything,
            ;
            claims:
                claimed_orders_are_told,
                the_earliest_other_purchase_under_way_is_told,
                purchases_of_other_plans_are_left_out,
                purchases_with_an_answer_are_left_out,
                the_newest_order_is_the_highest_number,
                the_newest_order_is_told_by_supplier,
            ;
            catalogue:
                a_sku_is_read_back_whole,
                skus_are_listed_by_id,
                a_sku_that_exists_is_not_created_again,
                a_sku_that_does_not_exist_is_not_replaced,
                an_applied_sku_is_new_or_replaced,
                label_and_product_are_free_before_the_first_batch,
                label_and_product_are_fixed_once_a_batch_exists,
                two_skus_never_share_a_label,
                an_archived_sku_comes_back_when_replaced,
                one_plan_is_changed_alone,
                a_wrong_plan_change_changes_nothing,
            ;
            batches:
                a_batch_is_read_back_whole,
                a_batch_with_known_codes_is_not_stored,
                nothing_is_minted_without_a_sku_on_sale,
                a_batch_of_another_label_is_a_conflict,
                a_batch_id_in_use_is_a_conflict,
                the_same_minting_request_is_a_replay,
                another_request_with_the_same_key_is_a_mismatch,
                a_refused_batch_leaves_no_key_behind,
                a_batch_is_counted_by_state,
                a_sealed_batch_has_no_nonce,
                batches_of_a_certain_age_are_sealed,
                batches_are_listed_newest_first,
                labels_are_told_once,
            ;
            trails:
                a_trail_tells_everything_about_a_voucher,
                a_trail_begins_with_minting,
                trails_are_found_by_mask,
            ;
        }
    };
}

#[cfg(test)]
mod tests {
    mod memory {
        crate::storage_conformance!(async { crate::testing::MemoryStorage::new() });
    }

    #[test]
    fn no_case_is_left_out() {
        let suite = include_str!("conformance.rs");
        let groups = [
            include_str!("conformance/begin.rs"),
            include_str!("conformance/commit.rs"),
            include_str!("conformance/ownership.rs"),
            include_str!("conformance/inbox.rs"),
            include_str!("conformance/claims.rs"),
            include_str!("conformance/catalogue.rs"),
            include_str!("conformance/batches.rs"),
            include_str!("conformance/trails.rs"),
        ];
        let cases = groups
            .iter()
            .flat_map(|group| group.lines())
            .filter_map(|line| line.strip_prefix("pub async fn "));
        let mut counted = 0;
        for case in cases.filter_map(|line| line.split('(').next()) {
            assert!(suite.contains(&format!(" {case},\n")), "{case} is missing in storage_conformance!");
            counted += 1;
        }
        assert!(counted >= 60, "{counted} cases");
    }
}

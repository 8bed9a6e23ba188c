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
//! cut finer parts off. Storage that goes by [a clock of its own](crate::ports::Workers::enlist) passes as well as one that
//! goes by its callers': cases that depend on which of them it is find out.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a case is a test, and panics where the storage breaks its contract"
)]

pub mod alerts;
pub mod batches;
pub mod begin;
pub mod budgets;
pub mod catalogue;
pub mod choices;
pub mod chores;
pub mod claims;
pub mod commit;
pub mod inbox;
pub mod ledger;
pub mod orphans;
pub mod ownership;
pub mod purging;
pub mod quarantine;
pub mod replacing;
pub mod searching;
pub mod sources;
mod stage;
pub mod trails;
pub mod velocity;
pub mod walks;
pub mod wishes;
pub mod withholding;
pub mod workers;

use std::sync::Arc;

use crate::ports::{Alerts, Catalogue, Orphans, Reports, Storage, Vouchers, Workers};

/// What the suite tests: one thing that implements every storage port.
pub trait AllPorts: Storage + Workers + Orphans + Catalogue + Vouchers + Reports + Alerts {}

impl<T: Storage + Workers + Orphans + Catalogue + Vouchers + Reports + Alerts> AllPorts for T {}

/// Storage with nothing in it, as a case gets it.
pub type Subject = Arc<dyn AllPorts>;

/// Makes every case of the suite a test.
///
/// Takes an expression that makes a future of empty storage, which implements [`Storage`], [`Workers`], [`Orphans`],
/// [`Catalogue`], [`Vouchers`], [`Reports`] and [`Alerts`]; see [the module](crate::testing::conformance).
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
                a_living_workers_redemptions_are_not_adopted,
                redemptions_without_an_owner_are_adopted,
                redemptions_at_rest_are_not_adopted,
                unsettled_redemptions_are_adopted,
                two_adopters_get_nothing_twice,
                one_redemption_is_adopted_at_rest_or_not,
                of_many_at_once_one_adopts_a_redemption,
                an_own_redemption_is_adopted_without_a_new_epoch,
                an_unknown_redemption_is_not_adopted,
            ;
            quarantine:
                takeovers_are_counted_until_a_change,
                one_that_is_adopted_alone_is_counted,
                whoever_outlives_a_turn_begins_the_count_anew,
                a_redemption_that_keeps_losing_its_owner_is_put_into_quarantine,
                the_most_takeovers_are_the_adopters_to_say,
                nobody_takes_over_what_is_in_quarantine,
                what_goes_into_quarantine_takes_no_place,
                a_resumed_redemption_is_taken_over_again,
                a_resumed_redemption_can_come_into_quarantine_again,
                nothing_is_resumed_that_is_in_no_quarantine,
            ;
            workers:
                whoever_enlists_is_listed_without_a_beat,
                every_beat_is_counted,
                a_beat_tells_the_time_as_whoever_asks_is_told,
                many_beats_at_once_are_all_counted,
                whoever_enlists_again_stays_as_it_is,
                a_clock_of_its_own_is_told_with_every_answer,
                a_worker_that_is_not_enlisted_is_fenced,
                whoever_is_alone_strikes_all_others_off,
                a_worker_that_was_heard_of_is_not_struck_off,
                of_many_observers_one_strikes_off,
                a_retired_workers_redemptions_are_taken_over_at_once,
            ;
            chores:
                a_chore_is_done_by_one_worker,
                a_chore_is_free_after_its_term,
                a_chore_is_kept_by_taking_it_again,
                a_chore_is_never_cut_short,
                a_chore_is_free_when_its_worker_is_gone,
                only_workers_get_chores,
                of_many_at_once_one_gets_a_chore,
            ;
            budgets:
                leases_stand_in_one_line,
                every_account_has_a_budget_of_its_own,
                leases_at_once_get_places_of_their_own,
                a_hit_blocks_the_account,
                a_budget_is_kept_whole,
                a_proof_without_a_trial_ends_no_pause,
                a_hit_among_leases_is_not_lost,
            ;
            inbox:
                every_kind_of_item_is_read_back_whole,
                items_are_numbered_in_the_order_of_arrival,
                ids_are_never_used_again,
                only_the_named_items_are_discarded,
                only_the_owner_discards,
                redemptions_with_something_in_their_inbox_are_named_once,
                only_those_are_named_that_the_worker_may_drive,
                redemptions_at_rest_are_named_as_well,
                an_unknown_redemption_cannot_be_told_anything,
            ;
            claims:
                claimed_orders_are_told,
                the_holders_of_orders_are_told,
                the_earliest_other_purchase_under_way_is_told,
                purchases_of_other_plans_are_left_out,
                purchases_with_an_answer_are_left_out,
                the_newest_order_is_the_highest_number,
                the_newest_order_is_told_by_supplier,
            ;
            orphans:
                an_account_is_worked_with_since_the_first_asking,
                many_at_once_agree_since_when_an_account_is_worked_with,
                an_order_that_nobody_knows_is_claimed,
                an_orphan_is_claimed_once,
                a_settled_orphan_is_not_claimed_again,
                of_many_at_once_one_claims_an_orphan,
                an_attempts_order_is_no_orphan,
                orders_of_a_plan_with_an_unresolved_attempt_are_left_alone,
                an_orphan_cannot_be_adopted,
                an_order_is_an_attempts_or_an_orphan,
                an_orphan_may_be_settled_when_it_is_found,
                open_orphans_are_told_oldest_first,
                an_orphan_is_stored_as_it_is_now,
                a_stale_change_of_an_orphan_is_a_conflict,
                of_many_changes_of_an_orphan_one_is_stored,
                losses_are_told_by_supplier_and_time,
                an_orphan_holds_nobody_up,
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
                several_skus_are_stored_together,
                a_refused_sku_leaves_nothing_of_the_others,
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
                secrets_are_needed_while_vouchers_live_or_codes_can_be_had,
            ;
            trails:
                a_trail_tells_everything_about_a_voucher,
                a_trail_begins_with_minting,
                trails_are_found_by_mask,
            ;
            velocity:
                only_redemptions_that_begin_are_counted,
                a_further_try_is_counted,
                every_session_counts_alone,
                an_address_counts_whoever_comes_from_it,
                a_sku_counts_all_customers_together,
                the_daily_ceiling_holds_beside_the_hours,
                a_used_up_cap_changes_nothing,
                of_many_at_once_no_more_begin_than_the_cap,
                counts_that_no_cap_looks_at_are_forgotten,
            ;
            sources:
                nothing_is_known_of_what_was_never_tried,
                the_outlook_is_what_commits_made_of_it,
                changes_of_a_source_are_applied_in_order,
                skus_share_what_is_known_of_a_source,
                an_outlook_tells_of_the_skus_own_plans,
                changes_of_an_account_are_applied_in_order,
                a_probe_is_won_by_one_of_sixty_four,
                a_probe_that_is_taken_stores_nothing,
                a_lease_that_ran_out_is_free,
                nothing_told_at_once_is_lost,
                what_is_observed_counts_like_what_is_committed,
                a_voucher_whose_sources_are_off_is_not_locked,
                a_dear_source_serves_whoever_pays_its_price,
            ;
            alerts:
                every_kind_of_alert_is_read_back_whole,
                an_alert_is_raised_once_per_crossing,
                a_commit_raises_and_clears_in_order,
                a_source_that_goes_off_is_told_of_once,
                a_low_balance_is_told_of_once,
                a_sku_without_a_plan_is_told_of_once,
                many_at_once_raise_one_alert,
                alerts_are_listed_newest_first,
                an_open_alert_is_acknowledged_once,
                what_was_told_is_told_no_more,
                what_could_not_be_told_is_told_later,
                what_is_over_before_it_is_told_is_told_all_the_same,
            ;
            ledger:
                a_redemption_that_begins_is_booked,
                the_books_of_a_run_are_read_back_whole,
                an_entry_is_booked_once,
                an_entry_is_told_apart_by_book_attempt_kind_and_order,
                totals_add_up_by_day_sku_and_plan,
                the_totals_are_the_sum_of_all_entries,
            ;
            choices:
                choices_come_back_byte_for_byte_in_order,
                a_change_without_a_choice_adds_none,
            ;
            searching:
                redemptions_are_found_newest_first,
                redemptions_of_one_moment_are_found_once,
                redemptions_are_found_by_sku_and_status,
                plans_are_told_by_their_attempts,
                a_plans_attempts_are_told_as_they_stand,
            ;
            wishes:
                every_wish_is_granted_or_refused_by_where_the_voucher_stands,
                an_unknown_voucher_cannot_be_changed,
                a_void_in_mid_run_asks_the_run_to_stop,
                a_void_in_mid_run_yields_to_a_delivery,
                an_end_in_mid_run_is_applied_when_the_run_ends,
                an_expired_voucher_is_good_again_once_extended,
                a_reset_gives_all_tries_back,
                a_void_and_a_beginning_at_once_do_not_miss_each_other,
                a_batch_is_taken_back_where_it_was_never_redeemed,
                vouchers_expire_a_few_at_a_time,
                an_end_tells_when_it_came,
            ;
            replacing:
                a_fulfilled_voucher_is_replaced,
                a_replacement_earns_nothing,
                a_voucher_is_replaced_once,
                many_at_once_replace_a_voucher_once,
                only_fulfilled_vouchers_are_replaced,
            ;
            purging:
                an_old_delivery_loses_its_number_and_messages,
                what_is_young_is_kept,
                what_is_not_at_rest_is_kept,
                a_redemption_without_a_number_stays_as_it_is,
                many_are_purged_a_few_at_a_time,
                what_changes_after_a_purge_is_purged_again,
                a_change_of_what_was_purged_meanwhile_is_a_conflict,
                an_old_orphan_loses_its_number,
            ;
            withholding:
                a_withheld_message_is_kept_and_told,
                another_redemption_may_follow_what_is_withheld,
                a_withheld_message_is_released,
                nothing_is_released_for_a_voucher_that_went_on,
                nothing_is_released_for_a_voucher_that_was_taken_back,
                a_withheld_message_goes_on_being_settled,
            ;
            walks:
                random_steps_end_where_memory_ends,
            ;
        }
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta, Utc};

    use crate::ports::Clock;
    use crate::testing::TokioClock;

    mod memory {
        crate::storage_conformance!(async { crate::testing::MemoryStorage::new() });
    }

    /// Storage that is somewhere else, where it is another day.
    mod memory_with_a_clock {
        use std::sync::Arc;

        use crate::testing::conformance::tests::ElsewhereClock;

        crate::storage_conformance!(async {
            crate::testing::MemoryStorage::with_clock(Arc::new(ElsewhereClock::default()))
        });
    }

    #[derive(Default)]
    struct ElsewhereClock(TokioClock);

    impl Clock for ElsewhereClock {
        fn now(&self) -> DateTime<Utc> {
            self.0.now() + TimeDelta::days(1_000)
        }

        fn uptime(&self) -> Duration {
            self.0.uptime()
        }
    }

    #[test]
    fn no_case_is_left_out() {
        let suite = include_str!("conformance.rs");
        let groups = [
            include_str!("conformance/begin.rs"),
            include_str!("conformance/commit.rs"),
            include_str!("conformance/ownership.rs"),
            include_str!("conformance/quarantine.rs"),
            include_str!("conformance/workers.rs"),
            include_str!("conformance/chores.rs"),
            include_str!("conformance/budgets.rs"),
            include_str!("conformance/inbox.rs"),
            include_str!("conformance/claims.rs"),
            include_str!("conformance/orphans.rs"),
            include_str!("conformance/catalogue.rs"),
            include_str!("conformance/batches.rs"),
            include_str!("conformance/trails.rs"),
            include_str!("conformance/velocity.rs"),
            include_str!("conformance/sources.rs"),
            include_str!("conformance/alerts.rs"),
            include_str!("conformance/ledger.rs"),
            include_str!("conformance/choices.rs"),
            include_str!("conformance/searching.rs"),
            include_str!("conformance/wishes.rs"),
            include_str!("conformance/replacing.rs"),
            include_str!("conformance/withholding.rs"),
            include_str!("conformance/purging.rs"),
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
        assert!(counted >= 210, "{counted} cases");
    }
}

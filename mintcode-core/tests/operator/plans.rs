//! Plans that switch themselves off, and choices that explain themselves.

use mintcode_core::ids::RedemptionId;
use mintcode_core::money::Amount;
use mintcode_core::ports::Put;
use mintcode_core::redemption::Outcome;
use mintcode_core::rules::Rules;
use mintcode_core::testing::{Line, SeededEntropy};

use crate::{MINUTE, SECOND, empty, one_plan, plans, redeem, run, told, two_plans, until_told, world};

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_out_of_stock_too_often_is_left_out_and_then_probed() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..5 {
        assert_eq!(plans(&run(&world).await), ["A", "B"]);
    }
    let without = run(&world).await;
    assert_eq!(plans(&without), ["B"]);
    assert!(without.intent(1).unwrap().reason.contains("without A (off by itself)"));
    until_told(&world, "source_off", 1).await;

    // Ten minutes later it gets one try, which fails, and is off again; that is told no second time.
    tokio::time::sleep(11 * MINUTE).await;
    let probed = run(&world).await;
    assert_eq!(plans(&probed), ["A", "B"]);
    assert!(probed.intent(1).unwrap().is_probe);
    assert_eq!(plans(&run(&world).await), ["B"]);

    tokio::time::sleep(11 * MINUTE).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(told(&world, "source_off"), 1);
    assert_eq!(world.support.alerts(true, 10).await.unwrap(), []);

    // It is on again, so that it can be told again.
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..9 {
        run(&world).await;
    }
    until_told(&world, "source_off", 2).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_two_redemptions_probes_and_the_other_goes_on_without() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..5 {
        run(&world).await;
    }
    tokio::time::sleep(11 * MINUTE).await;
    world.supplier.answer_purchases_after(SECOND);
    let (one, other) = (world.mint().await, world.mint().await);
    let (one, other) = tokio::join!(redeem(&world, &one), redeem(&world, &other));
    let (one, other) = (world.at_rest(one.unwrap()).await, world.at_rest(other.unwrap()).await);
    let mut tried = [plans(&one), plans(&other)];
    tried.sort();
    assert_eq!(tried, [vec!["A".to_owned(), "B".to_owned()], vec!["B".to_owned()]]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_too_dear_comes_back_when_the_catalogue_shows_a_fitting_price() {
    let world = world(two_plans(), Rules::default()).await;
    let price = Amount::from_micros(260_000);
    world.supplier.stock("canada", "virtual4", Line { price, ..Line::default() });
    let first = run(&world).await;
    let outcomes: Vec<_> = first.attempt_rows().iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::TooDear), Some(Outcome::Delivered)]);
    // However long it takes: the catalogue is asked, rather than another order bought and given back.
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["B"]);

    // Nor does a price that is lower and still too high.
    world.supplier.list_price("canada", "virtual4", Some(Amount::from_micros(220_000)));
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["B"]);

    // A catalogue that lies costs one order, and is not believed for a while.
    world.supplier.list_price("canada", "virtual4", Some(Amount::from_micros(120_000)));
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["A", "B"]);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["B"]);

    world.supplier.stock("canada", "virtual4", Line::default());
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(told(&world, "source_off"), 1);
}

#[tokio::test(start_paused = true)]
async fn every_choice_explains_itself_and_is_made_again_byte_for_byte() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    let done = run(&world).await;
    let explained = world.support.explain(done.id).await.unwrap().unwrap();
    let reasons: Vec<_> = explained.iter().map(|one| one.record.answer.reason.clone()).collect();
    assert_eq!(
        reasons,
        [
            "first by priority 10 and expected cost 0.12",
            "first by priority 10 and expected cost 0.12, without A (out of stock)"
        ]
    );
    for one in &explained {
        assert!(one.holds());
        assert_eq!(one.stored, one.record.text());
    }
    // The record is what held then, whatever the operator does to the plans since.
    world.support.put_sku(one_plan(), Put::Replace).await.unwrap();
    assert_eq!(world.support.explain(done.id).await.unwrap().unwrap(), explained);
    let nobody = RedemptionId::draw(&SeededEntropy::new(77));
    assert_eq!(world.support.explain(nobody).await.unwrap(), None);
}

//! The books in the protocol's own JSON, with its irregularities: fields that are there on some routes only, lists
//! that are sometimes null, dates of different precision, totals that mean nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mintcode_core::money::Amount;
use mintcode_core::order::Message;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::books::{Payment, Sale, Shelf};
use super::catalogue::find_country;
use super::chance::draw;

/// What the service claims as the length of every list of orders.
const TOTAL: u32 = 999_999;

/// Which route shows an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Bought,
    Checked,
    Row,
}

#[derive(Serialize)]
struct ShownOrder<'a> {
    id: u64,
    phone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
    product: &'a str,
    price: Box<RawValue>,
    status: &'a str,
    expires: String,
    sms: Option<Vec<ShownSms<'a>>>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarding: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarding_number: Option<&'a str>,
    country: &'a str,
}

#[derive(Serialize)]
struct ShownSms<'a> {
    created_at: String,
    date: String,
    sender: &'a str,
    text: &'a str,
    code: &'a str,
}

impl<'a> ShownOrder<'a> {
    fn new(sale: &'a Sale, view: View, status: Option<&'a str>) -> Self {
        // The live service shows either form; which one follows the id here, so that it repeats.
        let is_even = sale.id.is_multiple_of(2);
        let sms = sale.sms.iter().map(ShownSms::new).collect::<Vec<_>>();
        let forwards = view != View::Row && is_even;
        Self {
            id: sale.id,
            phone: sale.phone.reveal(),
            operator: (view != View::Checked).then_some(&*sale.operator),
            product: &sale.product,
            price: number(sale.price),
            status: status.unwrap_or_else(|| sale.status.word()),
            expires: nanoseconds(sale.expires_at),
            sms: (!sms.is_empty() || view == View::Row || is_even).then_some(sms),
            created_at: microseconds(sale.created_at),
            forwarding: forwards.then_some(false),
            forwarding_number: forwards.then_some(""),
            country: &sale.country,
        }
    }
}

impl<'a> ShownSms<'a> {
    fn new(message: &'a Message) -> Self {
        Self {
            created_at: microseconds(message.received_at),
            date: message.received_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            sender: &message.sender,
            text: &message.text,
            code: message.code.as_deref().unwrap_or_default(),
        }
    }
}

/// One order, under another status word where one is given.
pub(crate) fn order(sale: &Sale, view: View, status: Option<&str>) -> String {
    text(&ShownOrder::new(sale, view, status))
}

/// A page of orders.
pub(crate) fn orders<'a>(sales: impl Iterator<Item = &'a Sale>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page<'a> {
        data: Vec<ShownOrder<'a>>,
        product_names: [(); 0],
        statuses: [(); 0],
        total: u32,
    }
    let data = sales.map(|sale| ShownOrder::new(sale, View::Row, None)).collect();
    text(&Page { data, product_names: [], statuses: [], total: TOTAL })
}

/// A page of the ledger.
pub(crate) fn payments<'a>(payments: impl Iterator<Item = &'a Payment>, total: usize) -> String {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(rename = "ID")]
        id: u64,
        #[serde(rename = "TypeName")]
        kind: &'a str,
        #[serde(rename = "ProviderName")]
        provider: &'a str,
        #[serde(rename = "Amount")]
        amount: Box<RawValue>,
        #[serde(rename = "Balance")]
        balance: Box<RawValue>,
        #[serde(rename = "CreatedAt")]
        at: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page<'a> {
        data: Vec<Row<'a>>,
        payment_types: [Value; 2],
        payment_providers: [Value; 1],
        total: usize,
    }
    let row = |payment: &'a Payment| Row {
        id: payment.id,
        kind: payment.kind,
        provider: &payment.provider,
        amount: number(payment.amount),
        balance: number(payment.balance),
        at: microseconds(payment.at),
    };
    let payment_types = [json!({"Name": "charge"}), json!({"Name": "buy"})];
    text(&Page {
        data: payments.map(row).collect(),
        payment_types,
        payment_providers: [json!({"Name": "admin"})],
        total,
    })
}

/// The account.
pub(crate) fn profile(seed: u64, balance: Amount, rating_milli: i64, open: usize) -> String {
    #[derive(Serialize)]
    struct Profile {
        id: u64,
        email: &'static str,
        default_forwarding_number: &'static str,
        balance: Box<RawValue>,
        rating: Box<RawValue>,
        default_country: Value,
        default_operator: Value,
        frozen_balance: u32,
        total_active_orders: usize,
        is_totp: bool,
    }
    text(&Profile {
        id: 4_000_000 + draw(seed, "account", 0) % 1_000_000,
        email: "simulated@example.com",
        default_forwarding_number: "",
        balance: number(balance),
        rating: number(Amount::from_micros(rating_milli * 1_000)),
        default_country: json!({"name": "", "iso": "", "prefix": ""}),
        default_operator: json!({"name": ""}),
        frozen_balance: 0,
        total_active_orders: open,
        is_totp: false,
    })
}

/// Countries with their operators.
pub(crate) fn countries(shelves: &[Shelf]) -> String {
    let mut countries: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for Shelf { line, .. } in shelves {
        let country = countries.entry(&line.country).or_insert_with(|| {
            let known = find_country(&line.country);
            BTreeMap::from([
                ("iso", json!({known.iso: 1})),
                ("prefix", json!({known.prefix: 1})),
                ("text_en", json!(known.name)),
            ])
        });
        country.insert(&line.operator, json!({"activation": 1}));
    }
    text(&countries)
}

/// Products of a country and operator, either of which may be `any`.
pub(crate) fn products<'a>(shelves: impl Iterator<Item = &'a Shelf>, seed: u64) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Product {
        category: &'static str,
        qty: u64,
        price: Box<RawValue>,
    }
    let mut products: BTreeMap<&str, (u64, Amount)> = BTreeMap::new();
    for shelf in shelves {
        let (count, price) = products.entry(&shelf.line.product).or_insert((0, shelf.line.price));
        *count += shelf.count(seed);
        // The least price listed, in stock or not: this is no quote.
        *price = shelf.line.price.min(*price);
    }
    let shown =
        |(product, (qty, price))| (product, Product { category: "activation", qty, price: number(price) });
    text(&products.into_iter().map(shown).collect::<BTreeMap<_, _>>())
}

/// The price tree: country, product, operator; the first two swapped where only a product is asked for.
pub(crate) fn prices<'a>(shelves: impl Iterator<Item = &'a Shelf>, seed: u64, is_swapped: bool) -> String {
    #[derive(Serialize)]
    struct Leaf {
        cost: Box<RawValue>,
        count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<Box<RawValue>>,
    }
    let mut tree: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, Leaf>>> = BTreeMap::new();
    for shelf in shelves {
        let line = &shelf.line;
        let (upper, lower) =
            if is_swapped { (&line.product, &line.country) } else { (&line.country, &line.product) };
        let count = shelf.count(seed);
        let hundredths = i64::try_from(draw(seed, &line.operator, 720) % 9_000).unwrap_or(0);
        // Nobody has ordered from an empty operator lately, and from a silent one all orders failed.
        let rate = (count > 0).then(|| if line.messages == 0 { 0 } else { 500 + hundredths });
        let rate = rate.map(|hundredths| number(Amount::from_micros(hundredths * 10_000)));
        let leaf = Leaf { cost: number(line.price), count, rate };
        tree.entry(upper).or_default().entry(lower).or_default().insert(&line.operator, leaf);
    }
    if tree.is_empty() { "null".to_owned() } else { text(&tree) }
}

/// A decimal as a JSON number of exactly its digits.
fn number(amount: Amount) -> Box<RawValue> {
    let shown = amount.to_string();
    let shown = shown.trim_end_matches('0').trim_end_matches('.');
    RawValue::from_string(shown.to_owned()).expect("a decimal is a JSON number")
}

fn microseconds(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn nanoseconds(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("nothing here can fail to be written")
}

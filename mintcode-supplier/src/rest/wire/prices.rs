//! The catalogue's tree of prices, of which one leaf is wanted.

use std::collections::BTreeMap;

use mintcode_core::money::Amount;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Loose, Unreadable};

const TREE: Unreadable = Unreadable("list of prices");

/// The price of one operator's numbers in the tree country, product, operator; `None` where the tree lacks it.
///
/// The tree begins with the product in some answers of the protocol, so that is taken as well. Branches that are not
/// wanted are skipped unread: they may be anything.
pub(crate) fn listed_price(
    body: &str,
    country: &str,
    product: &str,
    operator: &str,
) -> Result<Option<Amount>, Unreadable> {
    let Some(tree) = branches(body)? else { return Ok(None) };
    for path in [[country, product, operator], [product, country, operator]] {
        if let Some(leaf) = descend(&tree, &path)? {
            return price(&leaf);
        }
    }
    Ok(None)
}

/// What hangs at the end of `path`.
fn descend(tree: &Branches, path: &[&str]) -> Result<Option<Box<RawValue>>, Unreadable> {
    let Some((first, rest)) = path.split_first() else { return Ok(None) };
    let Some(found) = tree.get(*first) else { return Ok(None) };
    if rest.is_empty() {
        return Ok(Some(found.clone()));
    }
    match branches(found.get())? {
        Some(tree) => descend(&tree, rest),
        None => Ok(None),
    }
}

type Branches = BTreeMap<String, Box<RawValue>>;

/// The branches at one level; `None` for `null`, which stands for an empty one.
fn branches(body: &str) -> Result<Option<Branches>, Unreadable> {
    serde_json::from_str(body).map_err(|_| TREE)
}

fn price(leaf: &RawValue) -> Result<Option<Amount>, Unreadable> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Leaf {
        cost: Option<Loose>,
    }
    let leaf: Option<Leaf> = serde_json::from_str(leaf.get()).map_err(|_| TREE)?;
    let Some(cost) = leaf.and_then(|leaf| leaf.cost) else { return Ok(None) };
    // A price that cannot be read, or cannot be one, is not the same as none.
    let cost = cost.amount().filter(|cost| *cost >= Amount::ZERO);
    cost.map(Some).ok_or(Unreadable("price"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(body: &str) -> Result<Option<i64>, Unreadable> {
        let price = listed_price(body, "england", "telegram", "virtual66")?;
        Ok(price.map(Amount::micros))
    }

    #[test]
    fn a_price_is_found_whichever_way_the_tree_grows() {
        for body in [
            r#"{"england":{"telegram":{"virtual66":{"cost":0.9,"count":163074,"rate":13.04,"rate720":10.42},"virtual67":{"cost":1.0,"count":0}}}}"#,
            r#"{"telegram":{"england":{"virtual66":{"cost":0.9}}}}"#,
            r#"{"england":{"telegram":{"virtual66":{"cost":"0.9000","count":"many"}},"google":[]},"france":7}"#,
        ] {
            assert_eq!(listed(body), Ok(Some(900_000)), "{body}");
        }
        let exact = r#"{"england":{"telegram":{"virtual66":{"cost":0.1359,"count":0}}}}"#;
        assert_eq!(listed(exact), Ok(Some(135_900)), "an empty shelf has a price, read without a float");
    }

    #[test]
    fn a_tree_without_the_leaf_says_nothing() {
        for body in [
            "null",
            " null\n",
            "{}",
            r#"{"england":null}"#,
            r#"{"england":{}}"#,
            r#"{"england":{"telegram":null}}"#,
            r#"{"england":{"telegram":{"virtual4":{"cost":0.9}}}}"#,
            r#"{"england":{"whatsapp":{"virtual66":{"cost":0.9}}}}"#,
            r#"{"england":{"telegram":{"virtual66":null}}}"#,
            r#"{"england":{"telegram":{"virtual66":{}}}}"#,
            r#"{"england":{"telegram":{"virtual66":{"cost":null,"count":3}}}}"#,
        ] {
            assert_eq!(listed(body), Ok(None), "{body}");
        }
    }

    #[test]
    fn what_is_no_tree_or_no_price_is_unreadable() {
        for body in ["", "[]", "0.9", "no such thing", r#"{"england":[]}"#, r#"{"england":{"telegram":4}}"#] {
            assert_eq!(listed(body), Err(TREE), "{body}");
        }
        for cost in ["\"dear\"", "\"\"", "true", "-0.1", "1e300", "{}"] {
            let body = format!(r#"{{"england":{{"telegram":{{"virtual66":{{"cost":{cost}}}}}}}}}"#);
            assert_eq!(listed(&body), Err(Unreadable("price")), "{cost}");
        }
    }
}

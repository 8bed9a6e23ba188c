//! The deny list: its shape, what counts as a variant of a name, and the check of a SKU.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use super::services::SHIPPED;
use crate::sku::{FieldError, Sku};

/// Services and countries that are not served. Cloning shares.
///
/// A shipped service is also recognised in the forms suppliers and operators give it: in any case, with spaces,
/// hyphens, underscores or dots (`Pay-Pal`), with a number behind it (`paypal2`) and with one of a few words behind it
/// that make no other service of it (`paypalus`, `wise-app`, `revolut_business`). Any slug that ends in `bank` or
/// `banking` or begins with `bankof` is a bank. What the operator adds is matched in any case and with any of those
/// separators, but otherwise letter by letter: only the operator knows whether `acme2` is another service.
///
/// ```
/// # use mintcode_core::responsible::{DenyList, Reason};
/// let list = DenyList::shipped().with(["Acme".to_owned()], ["Atlantis".to_owned()]);
/// assert_eq!(list.service("paypal-2"), Some(Reason::Payments));
/// assert_eq!(list.service("acme"), Some(Reason::Operator));
/// assert_eq!(list.service("telegram"), None);
/// assert!(list.country("atlantis"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList(Arc<Lists>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lists {
    /// Whether names that are a bank's by their form are refused too.
    shipped: bool,
    /// By the name without separators.
    services: BTreeMap<String, Denied>,
    /// Without separators.
    countries: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Denied {
    /// The name as it was given, trimmed and in lower case.
    name: String,
    reason: Reason,
}

/// Why a service is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A bank.
    Banking,
    /// A payment service, a wallet, or an exchange of money or of what is traded for money.
    Payments,
    /// An authority, or the sign-in to one.
    Government,
    /// A health service.
    Health,
    /// The operator put it on the list.
    Operator,
}

impl Reason {
    /// The stable name: `banking`, `payments`, `government`, `health` or `operator`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Banking => "banking",
            Self::Payments => "payments",
            Self::Government => "government",
            Self::Health => "health",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Words that may stand behind a shipped name without making another service of it.
const ENDINGS: [&str; 23] = [
    "app", "bank", "business", "card", "code", "com", "eu", "global", "id", "in", "io", "login", "money",
    "net", "new", "online", "otp", "pay", "ru", "uk", "us", "verify", "wallet",
];

/// Endings in `bank` that are no banks.
const NO_BANKS: [&str; 5] = ["powerbank", "foodbank", "bloodbank", "burbank", "questionbank"];

impl DenyList {
    /// What is built in: banks, payment services, authorities and health services; no country.
    #[must_use]
    pub fn shipped() -> Self {
        static LIST: LazyLock<DenyList> = LazyLock::new(|| {
            let services = SHIPPED.iter().flat_map(|(reason, names)| {
                names
                    .iter()
                    .map(|name| (squashed(name), Denied { name: (*name).to_owned(), reason: *reason }))
            });
            let services = services.collect();
            DenyList(Arc::new(Lists { shipped: true, services, countries: BTreeSet::new() }))
        });
        LIST.clone()
    }

    /// A list that denies nothing, for an operator who switched the shipped one off.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::new(Lists { shipped: false, services: BTreeMap::new(), countries: BTreeSet::new() }))
    }

    /// The list with what the operator adds, as slugs at the supplier; blank ones are skipped, and a service that is
    /// on the list already keeps its reason.
    #[must_use]
    pub fn with(
        mut self,
        services: impl IntoIterator<Item = String>,
        countries: impl IntoIterator<Item = String>,
    ) -> Self {
        let lists = Arc::make_mut(&mut self.0);
        for name in services {
            let key = squashed(&name);
            if !key.is_empty() {
                let name = name.trim().to_lowercase();
                lists.services.entry(key).or_insert(Denied { name, reason: Reason::Operator });
            }
        }
        lists
            .countries
            .extend(countries.into_iter().map(|name| squashed(&name)).filter(|key| !key.is_empty()));
        self
    }

    /// Why `product` is not served, if it is not.
    #[must_use]
    pub fn service(&self, product: &str) -> Option<Reason> {
        let name = squashed(product);
        self.0.services.get(&name).map(|denied| denied.reason).or_else(|| {
            let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
            self.shipped_reason(stem)
                .or_else(|| {
                    ENDINGS
                        .iter()
                        .filter_map(|end| stem.strip_suffix(end))
                        .find_map(|stem| self.shipped_reason(stem))
                })
                .or_else(|| (self.0.shipped && is_named_like_a_bank(stem)).then_some(Reason::Banking))
        })
    }

    fn shipped_reason(&self, stem: &str) -> Option<Reason> {
        self.0.services.get(stem).map(|denied| denied.reason).filter(|reason| *reason != Reason::Operator)
    }

    /// Whether `country` is not served.
    #[must_use]
    pub fn country(&self, country: &str) -> bool {
        self.0.countries.contains(&squashed(country))
    }

    /// Refuses a SKU of a denied service, or with a plan in a denied country.
    ///
    /// # Errors
    ///
    /// Every field that is refused (`product`, `plan[1].country`), with the category and what to do.
    pub fn check(&self, sku: &Sku) -> Result<(), Vec<FieldError>> {
        let product = self.service(&sku.product).map(|reason| {
            let message = match reason {
                Reason::Operator => format!(
                    "\"{}\" is not served: the operator put it on the deny list (operator); choose another product, \
                     or take it off the configured list",
                    sku.product
                ),
                Reason::Banking | Reason::Payments | Reason::Government | Reason::Health => format!(
                    "\"{}\" is not served: it is on the built-in deny list ({reason}); choose another product",
                    sku.product
                ),
            };
            FieldError::new("product", message)
        });
        let countries = sku.plans.iter().enumerate().filter(|(_, plan)| self.country(&plan.country)).map(
            |(index, plan)| {
                let message = format!(
                    "\"{}\" is not served: the operator put it on the deny list of countries; choose another country, \
                     or take it off the configured list",
                    plan.country
                );
                FieldError::new(format!("plan[{index}].country"), message)
            },
        );
        let errors: Vec<_> = product.into_iter().chain(countries).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Every service on the list with its reason, by name.
    pub fn services(&self) -> impl Iterator<Item = (&str, Reason)> {
        self.0.services.values().map(|denied| (denied.name.as_str(), denied.reason))
    }
}

impl Default for DenyList {
    fn default() -> Self {
        Self::shipped()
    }
}

/// A slug in lower case and without what separates its words.
fn squashed(slug: &str) -> String {
    slug.chars()
        .filter(|letter| !letter.is_whitespace() && !matches!(letter, '-' | '_' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_named_like_a_bank(stem: &str) -> bool {
    let ends = stem.ends_with("bank") || stem.ends_with("banking");
    (ends || stem.starts_with("bankof")) && !NO_BANKS.contains(&stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    /// What is sold every day; a list that denies one of these is useless.
    const ORDINARY: &str = "telegram google whatsapp amazon uber facebook instagram microsoft apple discord twitter \
        tiktok snapchat steam netflix linkedin tinder openai yahoo signal viber line ebay airbnb bolt lyft wechat \
        weibo taobao tmall alibaba aliexpress 1688 115com jd douyin baidu bilibili tencentqq kakaotalk naver vkontakte \
        odnoklassniki avito ozon wildberries yandex mailru rambler sbermarket megamarket samokat dodopizza magnit \
        pyaterochka youla drom mts beeline tele2 grab grabtaxi gojek careem foodpanda deliveroo doordash wolt glovo \
        shopee lazada mercado olx craigslist carousell badoo bumble hinge okcupid pof grindr twitch roblox blizzard \
        pubg nttgame spotify disneyplus hbomax protonmail proton zoho fiverr upwork nike adidas mcdonalds kfc \
        burgerking starbucks claude anthropic cursor github gitlab cloudflare digitalocean truecaller imo zalo \
        michat potato bigolive huya yalla wish temu shein wiseowl cashier payback display powerbank foodbank burbank \
        stripesocks stepn 12306 other any bet365 paddypower healthify";

    #[test]
    fn ordinary_services_are_served() {
        let list = DenyList::shipped();
        let denied: Vec<_> =
            ORDINARY.split_whitespace().filter(|slug| list.service(slug).is_some()).collect();
        assert!(ORDINARY.split_whitespace().count() >= 100);
        assert!(denied.is_empty(), "{denied:?}");
        assert_eq!(list.check(&sample::sku("tg")), Ok(()));
    }

    #[test]
    fn every_shipped_service_is_refused_with_its_category_and_a_remedy() {
        let list = DenyList::shipped();
        assert!(list.services().count() >= 40, "{}", list.services().count());
        for reason in [Reason::Banking, Reason::Payments, Reason::Government, Reason::Health] {
            assert!(list.services().any(|(_, found)| found == reason), "{reason}");
        }
        for (name, reason) in list.services() {
            let sku = Sku { product: name.to_owned(), ..sample::sku("tg") };
            let errors = list.check(&sku).unwrap_err();
            let [FieldError { field, message }] = errors.as_slice() else { panic!("{errors:?}") };
            assert_eq!(field, "product");
            for part in [&format!("\"{name}\""), reason.name(), "choose another product"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn variants_of_a_shipped_name_are_refused_too() {
        let list = DenyList::shipped();
        for (slug, reason) in [
            ("PayPal", Reason::Payments),
            ("pay-pal", Reason::Payments),
            ("paypal2", Reason::Payments),
            ("paypal_us", Reason::Payments),
            ("wise-app", Reason::Payments),
            ("revolutbusiness3", Reason::Payments),
            ("Sberbank-Online", Reason::Banking),
            ("bank_of_atlantis", Reason::Banking),
            ("atlantisbank", Reason::Banking),
            ("gosuslugi2", Reason::Government),
            (" n26 ", Reason::Banking),
        ] {
            assert_eq!(list.service(slug), Some(reason), "{slug}");
        }
        assert_eq!(DenyList::empty().service("paypal"), None);
        assert_eq!(DenyList::empty().service("atlantisbank"), None);
    }

    #[test]
    fn what_the_operator_adds_is_refused_letter_by_letter() {
        let list = DenyList::shipped()
            .with([" Acme-Chat ".to_owned(), "paypal".to_owned(), " ".to_owned()], ["Atlantis".to_owned()]);
        assert_eq!(list.service("acmechat"), Some(Reason::Operator));
        assert_eq!(list.service("acme-chat2"), None);
        assert_eq!(list.service("paypal"), Some(Reason::Payments), "the shipped reason stays");
        assert_eq!(list.service(""), None);
        assert!(list.services().any(|service| service == ("acme-chat", Reason::Operator)));
        assert_ne!(list, DenyList::shipped(), "the shipped list is shared, not changed");

        let mut sku = Sku { product: "acme_chat".to_owned(), ..sample::sku("tg") };
        sku.plans.push(sample::plan("B", "atlantis", "virtual1"));
        let errors = list.check(&sku).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| &*error.field).collect::<Vec<_>>(),
            ["product", "plan[1].country"]
        );
        for (error, value) in errors.iter().zip(["\"acme_chat\"", "\"atlantis\""]) {
            assert!(error.message.contains(value) && error.message.contains("operator"), "{error}");
            assert!(error.message.contains("take it off the configured list"), "{error}");
        }
    }
}

//! The countries the simulator knows, and what it sells unless a scenario says otherwise.

use mintcode_core::money::Amount;

use super::chance::draw;
use super::scenario::Line;

/// A country and how its numbers look.
#[derive(Debug)]
pub(crate) struct Country {
    pub(crate) slug: &'static str,
    pub(crate) iso: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) name: &'static str,
    /// Shapes of numbers: `#` stands for any digit, `%` for one of 2 to 9.
    shapes: &'static [&'static str],
}

const COUNTRIES: [Country; 8] = [
    country("brazil", "br", "+55", "Brazil", &["+55119########", "+55629########"]),
    country("canada", "ca", "+1", "Canada", &["+1416%######", "+1514%######", "+1604%######"]),
    country("england", "gb", "+44", "England", &["+4474########", "+4475########", "+4477########"]),
    country("georgia", "ge", "+995", "Georgia", &["+9955########"]),
    country("indonesia", "id", "+62", "Indonesia", &["+62812########", "+62857########"]),
    country("netherlands", "nl", "+31", "Netherlands", &["+316########"]),
    country("poland", "pl", "+48", "Poland", &["+4850#######", "+4873#######"]),
    country("usa", "us", "+1", "USA", &["+1206%######", "+1312%######", "+1917%######"]),
];

/// What a scenario's own countries look like.
const ELSEWHERE: Country = country("", "zz", "+999", "Elsewhere", &["+999#########"]);

const fn country(
    slug: &'static str,
    iso: &'static str,
    prefix: &'static str,
    name: &'static str,
    shapes: &'static [&'static str],
) -> Country {
    Country { slug, iso, prefix, name, shapes }
}

/// The country called `slug`, or a made-up one.
pub(crate) fn find_country(slug: &str) -> &'static Country {
    COUNTRIES.iter().find(|country| country.slug == slug).unwrap_or(&ELSEWHERE)
}

impl Country {
    /// A number of this country for order `id`.
    pub(crate) fn number(&self, seed: u64, id: u64) -> String {
        let mut chance = draw(seed, "phone", id);
        let mut next = |below: u64| {
            let drawn = chance % below;
            chance /= below;
            drawn
        };
        let shapes = self.shapes.len() as u64;
        let shape = usize::try_from(next(shapes)).expect("fewer shapes than addresses");
        let digit = |digit: u64| char::from(b'0' + u8::try_from(digit).expect("a digit is below ten"));
        let fill = |place| match place {
            '#' => digit(next(10)),
            '%' => digit(2 + next(8)),
            fixed => fixed,
        };
        self.shapes[shape].chars().map(fill).collect()
    }
}

/// Country, operator, product, price in micro-units, stock (`None`: without end), messages on each number.
type Row = (&'static str, &'static str, &'static str, i64, Option<u64>, u32);

const LINES: [Row; 21] = [
    ("brazil", "virtual61", "instagram", 135_900, None, 1),
    ("brazil", "virtual61", "telegram", 210_000, None, 1),
    ("canada", "virtual12", "telegram", 150_000, None, 1),
    ("canada", "virtual4", "discord", 70_000, None, 1),
    ("canada", "virtual4", "google", 180_000, None, 1),
    ("canada", "virtual4", "telegram", 120_000, None, 1),
    ("canada", "virtual4", "whatsapp", 250_000, None, 1),
    // Listed, cheapest and empty, as operators often are.
    ("canada", "virtual8", "telegram", 100_000, Some(0), 1),
    ("england", "virtual53", "google", 200_000, None, 1),
    ("england", "virtual66", "telegram", 900_000, None, 1),
    ("england", "virtual66", "whatsapp", 840_000, None, 1),
    ("england", "virtual67", "telegram", 1_000_000, Some(0), 1),
    // Sells numbers that never receive anything.
    ("georgia", "virtual51", "telegram", 80_000, None, 0),
    ("indonesia", "virtual4", "whatsapp", 60_000, None, 1),
    ("indonesia", "virtual4", "telegram", 110_000, None, 1),
    ("netherlands", "virtual50", "openai", 45_000, None, 1),
    ("poland", "virtual53", "discord", 8_100, None, 1),
    ("poland", "virtual53", "telegram", 640_000, None, 2),
    ("usa", "virtual4", "google", 230_000, None, 1),
    ("usa", "virtual8", "google", 200_000, None, 1),
    ("usa", "virtual8", "telegram", 310_000, None, 1),
];

/// The lines on sale by default.
pub(crate) fn default_lines() -> Vec<Line> {
    let line = |&(country, operator, product, micros, stock, messages): &Row| Line {
        stock,
        messages,
        ..Line::new(country, operator, product, Amount::from_micros(micros))
    };
    LINES.iter().map(line).collect()
}

//! Whether a source's numbers get their SMS.

use serde::{Deserialize, Serialize};

/// How many numbers are looked back on.
const LOOKED_BACK: usize = 10;
/// From so many silent ones among them on, the source counts as silent.
const TOO_SILENT: usize = 8;

/// Whether each of a source's last ten numbers got an SMS, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Silence(Vec<bool>);

impl Silence {
    /// Notes one more number.
    pub fn note(&mut self, got_sms: bool) {
        self.0.push(got_sms);
        if self.0.len() > LOOKED_BACK {
            self.0.remove(0);
        }
    }

    /// Whether at least eight of the last ten numbers got none.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.0.len() == LOOKED_BACK && self.silent() >= TOO_SILENT
    }

    /// Of how many numbers it is known, and how many of them got none.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.0.len(), self.silent())
    }

    fn silent(&self) -> usize {
        self.0.iter().filter(|got_sms| !**got_sms).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &str) -> Silence {
        let mut silence = Silence::default();
        numbers.bytes().for_each(|number| silence.note(number == b'+'));
        silence
    }

    #[test]
    fn eight_silent_numbers_of_the_last_ten_are_too_many() {
        for (numbers, is_silent) in [
            ("", false),
            ("---------", false),
            ("----------", true),
            ("++--------", true),
            ("+++-------", false),
            ("--------++", true),
            ("--------+++", false),
            ("++++++++++--------", true),
        ] {
            assert_eq!(after(numbers).is_silent(), is_silent, "{numbers}");
        }
        assert_eq!(after("+++++--").counts(), (7, 2));
        assert_eq!(after("----------+").counts(), (10, 9));
    }
}

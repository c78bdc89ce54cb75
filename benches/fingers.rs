//! Seeded prints for the screen bench.

use duynhat_datasets::{People, Person};
use duynhat_engine::finger::{FingerFeatures, Model};
use duynhat_engine::template::{FingerPosition, Minutia};

use crate::faces::Random;

/// Makes unrelated prints: of synthetic people, by the shipped model, so that their codes lie as those of real prints do.
pub struct Prints {
    random: Random,
    people: People,
    person: u64,
}

impl Prints {
    /// The prints of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), people: People::new(seed, Default::default()), person: 0 }
    }

    /// A print of `minutiae` minutiae, 20 % more or fewer: those nearest to the middle of one that has as many.
    #[allow(clippy::should_implement_trait, reason = "there is always another one")]
    pub fn next(&mut self, minutiae: usize) -> FingerFeatures {
        let spread = (minutiae * 4 / 10).max(1) as u64;
        let count = minutiae * 8 / 10 + (self.random.bits() % (spread + 1)) as usize;
        loop {
            let person = self.people.person(self.person);
            self.person += 1;
            if let Some(features) = cropped(&person, count) {
                return features;
            }
        }
    }
}

fn cropped(person: &Person<'_>, count: usize) -> Option<FingerFeatures> {
    let finger = person.finger(FingerPosition::new(2)?, 0);
    let mut minutiae: Vec<Minutia> = finger.minutiae().to_vec();
    if minutiae.len() < count {
        return None;
    }
    let mean = |of: fn(&Minutia) -> u16| minutiae.iter().map(|m| i64::from(of(m))).sum::<i64>() / minutiae.len() as i64;
    let (x, y) = (mean(|m| m.x), mean(|m| m.y));
    minutiae.sort_by_key(|m| (i64::from(m.x) - x).pow(2) + (i64::from(m.y) - y).pow(2));
    minutiae.truncate(count);
    Model::shipped().features_of(&minutiae).ok()
}

//! What has changed about rows since they were enrolled: withdrawn, or counted to another subject.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::files::StoredOverlay;

/// References of a stripe.
pub const STRIPE_ROWS: u64 = (super::STRIPE_BLOCKS * super::BLOCK_ROWS) as u64;

/// Immutable once published; a change copies one stripe's part.
#[derive(Clone, Default)]
pub struct Overlay {
    stripes: BTreeMap<u64, Arc<StripeOverlay>>,
    withdrawn: u64,
}

#[derive(Clone, Default)]
struct StripeOverlay {
    /// One bit a row; empty until the first withdrawal.
    withdrawn: Vec<u64>,
    subjects: HashMap<u16, Arc<str>>,
}

impl Overlay {
    /// Whether the row is withdrawn.
    pub fn is_withdrawn(&self, row: u64) -> bool {
        let (stripe, row) = split(row);
        let Some(stripe) = self.stripes.get(&stripe) else { return false };
        stripe.withdrawn.get(usize::from(row) / 64).is_some_and(|w| w >> (row % 64) & 1 == 1)
    }

    /// How many rows are withdrawn.
    pub fn withdrawn(&self) -> u64 {
        self.withdrawn
    }

    /// The row's subject, when it is not the one it was enrolled under.
    pub fn subject(&self, row: u64) -> Option<&Arc<str>> {
        let (stripe, row) = split(row);
        self.stripes.get(&stripe)?.subjects.get(&row)
    }

    pub(super) fn withdraw(&mut self, row: u64) {
        if self.is_withdrawn(row) {
            return;
        }
        let (stripe, row) = split(row);
        let stripe = Arc::make_mut(self.stripes.entry(stripe).or_default());
        if stripe.withdrawn.is_empty() {
            stripe.withdrawn = vec![0; (STRIPE_ROWS / 64) as usize];
        }
        stripe.withdrawn[usize::from(row) / 64] |= 1 << (row % 64);
        self.withdrawn += 1;
    }

    /// Withdraws the row and forgets whose it was.
    pub(super) fn erase(&mut self, row: u64) {
        self.withdraw(row);
        let (stripe, row) = split(row);
        if let Some(stripe) = self.stripes.get_mut(&stripe)
            && stripe.subjects.contains_key(&row)
        {
            Arc::make_mut(stripe).subjects.remove(&row);
        }
    }

    /// The withdrawn rows of a range, ascending.
    pub fn withdrawn_in(&self, rows: std::ops::Range<u64>) -> Vec<u64> {
        if self.withdrawn == 0 {
            return Vec::new();
        }
        rows.filter(|row| self.is_withdrawn(*row)).collect()
    }

    pub(super) fn set_subject(&mut self, row: u64, subject: &str) {
        let (stripe, row) = split(row);
        Arc::make_mut(self.stripes.entry(stripe).or_default()).subjects.insert(row, subject.into());
    }

    pub(super) fn store(&self, gallery: [u8; 16]) -> StoredOverlay {
        let mut stored = StoredOverlay { gallery, ..StoredOverlay::default() };
        for (number, stripe) in &self.stripes {
            for (i, word) in stripe.withdrawn.iter().enumerate() {
                let bits = (0..64).filter(|bit| word >> bit & 1 == 1);
                stored.withdrawn.extend(bits.map(|bit| number * STRIPE_ROWS + i as u64 * 64 + bit));
            }
            let mut subjects: Vec<_> = stripe.subjects.iter().collect();
            subjects.sort();
            let global = subjects.into_iter().map(|(row, s)| (number * STRIPE_ROWS + u64::from(*row), s.to_string()));
            stored.subjects.extend(global);
        }
        stored
    }

    pub(super) fn restore(stored: &StoredOverlay) -> Self {
        let mut overlay = Self::default();
        stored.withdrawn.iter().for_each(|row| overlay.withdraw(*row));
        stored.subjects.iter().for_each(|(row, subject)| overlay.set_subject(*row, subject));
        overlay
    }
}

fn split(row: u64) -> (u64, u16) {
    (row / STRIPE_ROWS, (row % STRIPE_ROWS) as u16)
}

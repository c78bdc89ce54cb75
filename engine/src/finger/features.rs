//! What the matcher keeps of a print: its minutiae and a binary code for each.

use crate::template::Minutia;

/// A minutia's binary descriptor, 256 bits; the first 128 (words 0 and 1) are what the screen reads.
pub type Code = [u64; 4];

/// The features of one impression, owned. `minutiae[i]` belongs to `codes[i]`.
#[derive(Clone, PartialEq, Eq)]
pub struct FingerFeatures {
    minutiae: Vec<Minutia>,
    codes: Vec<Code>,
}

impl FingerFeatures {
    /// # Panics
    /// When the lengths differ.
    pub fn new(minutiae: Vec<Minutia>, codes: Vec<Code>) -> Self {
        assert_eq!(minutiae.len(), codes.len(), "a code for each minutia");
        Self { minutiae, codes }
    }

    /// Borrowed.
    pub fn view(&self) -> FingerView<'_> {
        FingerView { minutiae: &self.minutiae, codes: &self.codes }
    }
}

/// The features of one impression, borrowed, e.g. from a mapped column.
#[derive(Clone, Copy)]
pub struct FingerView<'a> {
    minutiae: &'a [Minutia],
    codes: &'a [Code],
}

impl<'a> FingerView<'a> {
    /// `None` when the lengths differ.
    pub fn new(minutiae: &'a [Minutia], codes: &'a [Code]) -> Option<Self> {
        (minutiae.len() == codes.len()).then_some(Self { minutiae, codes })
    }

    /// The minutiae.
    pub fn minutiae(self) -> &'a [Minutia] {
        self.minutiae
    }

    /// A code for each minutia.
    pub fn codes(self) -> &'a [Code] {
        self.codes
    }
}

/// Never prints minutiae or codes: a template is sensitive personal data.
impl std::fmt::Debug for FingerFeatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FingerFeatures").field("minutiae", &self.minutiae.len()).finish_non_exhaustive()
    }
}

//! Sines and cosines by table, so that every machine sees the same bits.

use std::sync::LazyLock;

const STEPS: usize = 1024;

/// Unit vectors of [`STEPS`] directions.
pub(crate) struct Directions([(f32, f32); STEPS]);

static DIRECTIONS: LazyLock<Directions> = LazyLock::new(|| {
    Directions(std::array::from_fn(|i| {
        let angle = i as f64 * (std::f64::consts::TAU / STEPS as f64);
        (libm::cos(angle) as f32, libm::sin(angle) as f32)
    }))
});

impl Directions {
    pub(crate) fn get() -> &'static Self {
        &DIRECTIONS
    }

    /// Cosine and sine of an angle in 65,536ths of a turn, to the nearest 1,024th.
    #[inline(always)]
    pub(crate) fn of(&self, angle: u16) -> (f32, f32) {
        self.0[usize::from(angle.wrapping_add(32) >> 6)]
    }
}

/// The absolute difference of two directions, 0 to 32,768 (half a turn).
#[inline(always)]
pub(crate) fn turn_between(a: u16, b: u16) -> u16 {
    (a.wrapping_sub(b) as i16).unsigned_abs()
}

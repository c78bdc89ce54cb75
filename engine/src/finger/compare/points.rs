//! A print in the layout that the comparison reads: one array a field, padded for wide registers.

use crate::finger::cylinder::quality_weight;
use crate::finger::features::FingerView;
use crate::finger::geometry::Directions;
use crate::finger::model::{TRAITS, traits};
use crate::kernel::close::{CLOSE_LANES, Place};

/// Arrays are padded to a multiple of this.
pub(super) const LANES: usize = 16;
/// A print has 255 minutiae at most.
pub(super) const POINTS_MAX: usize = 256;

/// Steps of [`Points::places`]: with them a byte spans 1,024 px, and what lies beyond is at the edge.
pub(super) const PLACE_PX: f32 = 4.0;
/// The places start this far outside the print, so that what lies just beside it is told from what lies on its edge.
const PLACE_MARGIN_PX: f32 = 32.0;

/// One print.
#[derive(Clone, Default)]
pub(super) struct Points {
    pub(super) count: usize,
    /// Pixels, y up.
    pub(super) x: Vec<f32>,
    pub(super) y: Vec<f32>,
    /// The direction's unit vector.
    pub(super) c: Vec<f32>,
    pub(super) s: Vec<f32>,
    pub(super) angle: Vec<u16>,
    /// Square root of the quality weight.
    pub(super) weight: Vec<f32>,
    pub(super) kind: Vec<u8>,
    /// The codes, word by word.
    pub(super) words: [Vec<u64>; 4],
    /// The bounding octagon: the largest x, -x, y, -y, x+y, -x-y, x-y, y-x.
    pub(super) octagon: [f32; 8],
    /// What the print looks like as a whole.
    pub(super) traits: [f32; TRAITS],
    /// Position and direction in whole [`PLACE_PX`] and 256ths of a turn: x, y, direction, padded for
    /// [`crate::kernel::close::close`]. Of a reference that is to be aligned with only.
    pub(super) places: [Vec<u8>; 3],
    /// Where the places start.
    pub(super) origin: (f32, f32),
}

impl Points {
    /// Replaces the content. Allocates only when a print is larger than any before.
    #[inline(always)]
    pub(super) fn fill(&mut self, view: FingerView<'_>, directions: &Directions) {
        let minutiae = view.minutiae();
        self.count = minutiae.len();
        let padded = self.count.next_multiple_of(LANES);
        // Padding lies far away from everything.
        self.x.clear();
        self.x.extend(minutiae.iter().map(|m| m.x_px()));
        self.x.resize(padded, -1e6);
        self.y.clear();
        self.y.extend(minutiae.iter().map(|m| -m.y_px()));
        self.y.resize(padded, -1e6);
        self.c.clear();
        self.c.extend(minutiae.iter().map(|m| directions.of(m.angle).0));
        self.c.resize(padded, 0.0);
        self.s.clear();
        self.s.extend(minutiae.iter().map(|m| directions.of(m.angle).1));
        self.s.resize(padded, 0.0);
        self.angle.clear();
        self.angle.extend(minutiae.iter().map(|m| m.angle));
        self.angle.resize(padded, 0);
        self.weight.clear();
        self.weight.extend(minutiae.iter().map(|m| quality_weight(m.quality).sqrt()));
        self.weight.resize(padded, 0.0);
        self.kind.clear();
        self.kind.extend(minutiae.iter().map(|m| m.kind_code));
        self.kind.resize(padded, 0);
        for (word, column) in self.words.iter_mut().enumerate() {
            column.clear();
            column.extend(view.codes().iter().map(|code| code[word]));
            column.resize(padded, 0);
        }
        self.octagon = [f32::MIN; 8];
        for (&x, &y) in self.x[..self.count].iter().zip(&self.y[..self.count]) {
            for (bound, value) in self.octagon.iter_mut().zip(faces(x, y)) {
                *bound = if value > *bound { value } else { *bound };
            }
        }
        self.traits = traits(minutiae);
    }

    /// Fills [`Points::places`] and [`Points::origin`].
    #[inline(always)]
    pub(super) fn fill_places(&mut self) {
        self.origin = (-self.octagon[1] - PLACE_MARGIN_PX, -self.octagon[3] - PLACE_MARGIN_PX);
        let padded = self.count.next_multiple_of(CLOSE_LANES);
        let origin = self.origin;
        let [x, y, turn] = &mut self.places;
        for column in [&mut *x, &mut *y, &mut *turn] {
            column.clear();
            column.resize(padded, 0);
        }
        for i in 0..self.count {
            let place = place(self.x[i], self.y[i], self.angle[i], origin);
            (x[i], y[i], turn[i]) = (place.x, place.y, place.turn);
        }
    }
}

/// Where a point lies, seen from `origin`: the distance between two grows by less than one step, or shrinks.
#[inline(always)]
pub(super) fn place(x: f32, y: f32, angle: u16, origin: (f32, f32)) -> Place {
    // Such a conversion saturates.
    let step = |v: f32, from: f32| ((v - from) * (1.0 / PLACE_PX)) as u8;
    Place { x: step(x, origin.0), y: step(y, origin.1), turn: (angle >> 8) as u8 }
}

/// How far a point lies in each of the octagon's eight directions.
#[inline(always)]
pub(super) fn faces(x: f32, y: f32) -> [f32; 8] {
    [x, -x, y, -y, x + y, -x - y, x - y, y - x]
}

//! The neighbourhood of a minutia as numbers, before anything is learned.
//!
//! A minutia cylinder (Cappelli, Ferrara, Maltoni: Minutia Cylinder-Code, TPAMI 2010) in the frame of the minutia: a disc
//! of 52 cells (radius 70 px at 500 dpi, on an 8 x 8 grid) times six relative directions, and outside it a coarser ring
//! of 12 sectors. A neighbour adds a Gaussian of its distance from the cell's centre times one of its relative
//! direction, weighted by its quality; the sum v is squashed to v / (v + 0.01) and kept as a byte.

use std::sync::LazyLock;

use super::geometry::Directions;
use crate::template::Minutia;

/// Values of one minutia.
pub(crate) const RAW_DIMENSIONS: usize = CELLS_DISC * SECTIONS + CELLS_RING * SECTIONS;
/// One minutia's neighbourhood.
pub(crate) type Raw = [u8; RAW_DIMENSIONS];

const SECTIONS: usize = 6;
const GRID: usize = 8;
const CELLS_DISC: usize = 52;
const CELLS_RING: usize = 12;
const RADIUS_PX: f32 = 70.0;
const CELL_PX: f32 = 2.0 * RADIUS_PX / GRID as f32;
const SIGMA_PX: f64 = 28.0 / 3.0;
/// Beyond three sigmas a neighbour does not count.
const REACH_PX: f32 = 28.0;
const RING_RADIUS_PX: f32 = 100.0;
const RING_SIGMA_PX: f64 = 18.0;
const RING_REACH_PX: f32 = 54.0;
const SQUASH: f32 = 0.01;
/// Table entries a pixel.
const STEPS_PER_PX: f32 = 4.0;

struct Tables {
    /// Gaussian of a distance, unnormalised, by quarter pixel; zeros beyond the reach.
    near: [f32; NEAR_STEPS],
    ring: [f32; RING_STEPS],
    /// For each 256th of a turn the share in each of the six direction sections, and zeros.
    sections: Vec<Sections>,
    /// Grid cells in the disc: the number of cell (row, column), or [`OUTSIDE`].
    cell: [[usize; GRID]; GRID],
    ring_centres: [(f32, f32); CELLS_RING],
}

/// Powers of two above four steps a pixel of reach.
const NEAR_STEPS: usize = 128;
const RING_STEPS: usize = 256;
const _: () = assert!(
    NEAR_STEPS as f32 > REACH_PX * STEPS_PER_PX + 1.0 && RING_STEPS as f32 > RING_REACH_PX * STEPS_PER_PX + 1.0
);

/// A value for each direction section, and room to make it a whole vector register.
type Sections = [f32; 8];
/// Sums of the disc's cells, then the ring's, then of what lies outside.
type Sums = [Sections; CELLS + 1];
const CELLS: usize = CELLS_DISC + CELLS_RING;
const OUTSIDE: usize = CELLS;

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    fn gauss<const N: usize>(reach: f32, sigma: f64) -> [f32; N] {
        std::array::from_fn(|i| {
            let d = i as f64 / f64::from(STEPS_PER_PX) / sigma;
            if i <= (reach * STEPS_PER_PX) as usize + 1 { libm::exp(-0.5 * d * d) as f32 } else { 0.0 }
        })
    }
    // The integral of a Gaussian (sigma 40 degrees) of the direction difference over a section of 60 degrees.
    let sigma_turn = 1.0 / 9.0;
    let below = |x: f64| 0.5 * libm::erfc(-x / (sigma_turn * std::f64::consts::SQRT_2));
    let sections = (0..256)
        .map(|i| {
            let share = |k: usize| {
                let centre = -0.5 + (k as f64 + 0.5) / SECTIONS as f64;
                let mut difference = i as f64 / 256.0 - centre;
                difference -= libm::floor(difference + 0.5);
                let half = 0.5 / SECTIONS as f64;
                (below(difference + half) - below(difference - half)) as f32
            };
            std::array::from_fn(|k| if k < SECTIONS { share(k) } else { 0.0 })
        })
        .collect();
    let mut cell = [[OUTSIDE; GRID]; GRID];
    let mut next = 0;
    for (row, cells) in cell.iter_mut().enumerate() {
        for (column, at) in cells.iter_mut().enumerate() {
            let (x, y) = (centre_px(column), centre_px(row));
            if x * x + y * y <= RADIUS_PX * RADIUS_PX {
                *at = next;
                next += 1;
            }
        }
    }
    assert_eq!(next, CELLS_DISC);
    let ring_centres = std::array::from_fn(|k| {
        let angle = (k as f64 + 0.5) / CELLS_RING as f64 * std::f64::consts::TAU;
        ((f64::from(RING_RADIUS_PX) * libm::cos(angle)) as f32, (f64::from(RING_RADIUS_PX) * libm::sin(angle)) as f32)
    });
    Tables { near: gauss(REACH_PX, SIGMA_PX), ring: gauss(RING_REACH_PX, RING_SIGMA_PX), sections, cell, ring_centres }
});

fn centre_px(index: usize) -> f32 {
    (index as f32 + 0.5 - GRID as f32 / 2.0) * CELL_PX
}

/// What a minutia's quality is worth as a neighbour; unknown counts as 50.
#[inline(always)]
pub(crate) fn quality_weight(quality: u8) -> f32 {
    let quality = if quality == 0 { 50 } else { quality };
    (f32::from(quality) + 10.0) * (1.0 / 60.0)
}

/// The neighbourhood of each minutia.
#[inline(always)]
pub(crate) fn neighbourhoods(minutiae: &[Minutia], out: &mut Vec<Raw>) {
    let tables = &*TABLES;
    let directions = Directions::get();
    let peak_near = (1.0 / (SIGMA_PX * 2.506_628_274_631)) as f32;
    // The ring's cells are larger: the same squashing point for one well-placed neighbour.
    let peak_ring = peak_near;
    out.clear();
    for (i, a) in minutiae.iter().enumerate() {
        let (c, s) = directions.of(a.angle);
        let mut sums: Sums = [[0.0; 8]; CELLS + 1];
        for (j, b) in minutiae.iter().enumerate() {
            if i == j {
                continue;
            }
            // y up, so that directions are counter-clockwise.
            let dx = b.x_px() - a.x_px();
            let dy = a.y_px() - b.y_px();
            let d2 = dx * dx + dy * dy;
            let limit = RING_RADIUS_PX + RING_REACH_PX;
            if d2 > limit * limit {
                continue;
            }
            let u = c * dx + s * dy;
            let v = c * dy - s * dx;
            let share = &tables.sections[usize::from(b.angle.wrapping_sub(a.angle).wrapping_add(128) >> 8)];
            let weight = quality_weight(b.quality);
            if d2 < (RADIUS_PX + REACH_PX) * (RADIUS_PX + REACH_PX) {
                add_disc(tables, u, v, weight * peak_near, share, &mut sums);
            }
            let inner = RING_RADIUS_PX - RING_REACH_PX;
            if d2 > inner * inner {
                add_ring(tables, u, v, weight * peak_ring, share, &mut sums);
            }
        }
        let mut raw: Raw = [0; RAW_DIMENSIONS];
        for (to, from) in raw.as_chunks_mut::<SECTIONS>().0.iter_mut().zip(&sums) {
            // Loops over whole arrays: `map` is compiled once for all instruction sets, for the least of them.
            let mut squashed = [0i32; 8];
            for (to, v) in squashed.iter_mut().zip(from) {
                *to = (v / (v + SQUASH) * 255.0 + 0.5) as i32;
            }
            for (to, from) in to.iter_mut().zip(squashed) {
                *to = from as u8;
            }
        }
        out.push(raw);
    }
}

/// What each cell of an axis is worth to a place on it, and a bit for each that is within reach.
#[inline(always)]
fn within_reach(tables: &Tables, at: f32) -> ([f32; GRID], u32) {
    let (mut distances, mut places, mut worth) = ([0f32; GRID], [0i32; GRID], [0f32; GRID]);
    for (index, distance) in distances.iter_mut().enumerate() {
        *distance = (at - centre_px(index)).abs();
    }
    for (place, distance) in places.iter_mut().zip(&distances) {
        *place = (distance.min(REACH_PX) * STEPS_PER_PX + 0.5) as i32;
    }
    let mut reached = 0;
    for index in 0..GRID {
        worth[index] = tables.near[places[index] as usize % NEAR_STEPS];
        reached |= u32::from(distances[index] <= REACH_PX) << index;
    }
    (worth, reached)
}

/// The numbers of the bits that are set, lowest first.
#[inline(always)]
fn each_bit(mut bits: u32, mut work: impl FnMut(usize)) {
    while bits != 0 {
        work(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

#[inline(always)]
fn add(sum: &mut Sections, g: f32, share: &Sections) {
    for (sum, share) in sum.iter_mut().zip(share) {
        *sum += g * share;
    }
}

#[inline(always)]
fn add_disc(tables: &Tables, u: f32, v: f32, weight: f32, share: &Sections, sums: &mut Sums) {
    let ((of_rows, rows), (of_columns, columns)) = (within_reach(tables, v), within_reach(tables, u));
    each_bit(rows, |row| {
        let gv = weight * of_rows[row % GRID];
        let cells = &tables.cell[row % GRID];
        each_bit(columns, |column| {
            let cell = cells[column % GRID].min(OUTSIDE);
            add(&mut sums[cell], gv * of_columns[column % GRID], share);
        });
    });
}

#[inline(always)]
fn add_ring(tables: &Tables, u: f32, v: f32, weight: f32, share: &Sections, sums: &mut Sums) {
    let mut distances = [0f32; CELLS_RING];
    for (d2, (x, y)) in distances.iter_mut().zip(&tables.ring_centres) {
        *d2 = (u - x) * (u - x) + (v - y) * (v - y);
    }
    let mut reached = 0u32;
    for (k, d2) in distances.iter().enumerate() {
        reached |= u32::from(*d2 <= RING_REACH_PX * RING_REACH_PX) << k;
    }
    each_bit(reached, |k| {
        let k = k % CELLS_RING;
        let g = weight * tables.ring[(distances[k].sqrt() * STEPS_PER_PX + 0.5) as i32 as usize % RING_STEPS];
        add(&mut sums[CELLS_DISC + k], g, share);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is defined: every neighbour asks every cell.
    fn by_definition(minutiae: &[Minutia]) -> Vec<Raw> {
        let (tables, directions) = (&*TABLES, Directions::get());
        let peak = (1.0 / (SIGMA_PX * 2.506_628_274_631)) as f32;
        let of = |(i, a): (usize, &Minutia)| {
            let (c, s) = directions.of(a.angle);
            let mut sums = [[0f32; SECTIONS]; CELLS];
            for b in minutiae.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, b)| b) {
                let (dx, dy) = (b.x_px() - a.x_px(), a.y_px() - b.y_px());
                let d2 = dx * dx + dy * dy;
                let (u, v) = (c * dx + s * dy, c * dy - s * dx);
                let share = &tables.sections[usize::from(b.angle.wrapping_sub(a.angle).wrapping_add(128) >> 8)];
                let weight = quality_weight(b.quality) * peak;
                let mut add = |cell: usize, g: f32| sums[cell].iter_mut().zip(share).for_each(|(s, w)| *s += g * w);
                for (row, column) in (0..GRID * GRID).map(|k| (k / GRID, k % GRID)) {
                    let (du, dv) = ((u - centre_px(column)).abs(), (v - centre_px(row)).abs());
                    let far = d2 >= (RADIUS_PX + REACH_PX) * (RADIUS_PX + REACH_PX) || du > REACH_PX || dv > REACH_PX;
                    if !far && tables.cell[row][column] != OUTSIDE {
                        let near = |d: f32| tables.near[(d * STEPS_PER_PX + 0.5) as usize];
                        add(tables.cell[row][column], weight * near(dv) * near(du));
                    }
                }
                let (inner, outer) = (RING_RADIUS_PX - RING_REACH_PX, RING_RADIUS_PX + RING_REACH_PX);
                for (k, &(x, y)) in tables.ring_centres.iter().enumerate() {
                    let from = (u - x) * (u - x) + (v - y) * (v - y);
                    if d2 > inner * inner && d2 <= outer * outer && from <= RING_REACH_PX * RING_REACH_PX {
                        let near = tables.ring[(from.sqrt() * STEPS_PER_PX + 0.5) as usize];
                        add(CELLS_DISC + k, weight * near);
                    }
                }
            }
            let bytes: Vec<u8> = sums.as_flattened().iter().map(|v| (v / (v + SQUASH) * 255.0 + 0.5) as u8).collect();
            bytes.try_into().expect("all cells")
        };
        minutiae.iter().enumerate().map(of).collect()
    }

    #[test]
    fn the_cells_that_are_looked_at_are_those_that_count() {
        let mut state = 11u64;
        let mut next = |bound: f32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 * bound
        };
        for count in [0, 1, 2, 30, 200] {
            // Crowded and wide; on the grid's own lines too.
            for (width, grid) in [(150.0, 1), (600.0, 1), (300.0, 70)] {
                let minutiae: Vec<Minutia> = (0..count)
                    .map(|k| Minutia {
                        x: 1_000 + (next(width * 4.0) as u16) / grid * grid,
                        y: 1_000 + (next(width * 4.0) as u16) / grid * grid,
                        angle: if k % 3 == 0 { 16_384 * (k % 4) as u16 } else { next(65_536.0) as u16 },
                        kind_code: 1,
                        quality: (k % 101) as u8,
                    })
                    .collect();
                let mut found = Vec::new();
                neighbourhoods(&minutiae, &mut found);
                assert!(found == by_definition(&minutiae), "{count} minutiae, {width}");
            }
        }
    }
}

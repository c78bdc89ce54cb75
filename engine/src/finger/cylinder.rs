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
    /// Gaussian of a distance, unnormalised, by quarter pixel.
    near: Vec<f32>,
    ring: Vec<f32>,
    /// For each 256th of a turn the share in each of the six direction sections.
    sections: Vec<[f32; SECTIONS]>,
    /// Grid cells in the disc: where cell (row, column) starts in [`Raw`], or `usize::MAX`.
    cell: [[usize; GRID]; GRID],
    ring_centres: [(f32, f32); CELLS_RING],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let gauss = |reach: f32, sigma: f64| {
        (0..=(reach * STEPS_PER_PX) as usize + 1)
            .map(|i| {
                let d = i as f64 / f64::from(STEPS_PER_PX) / sigma;
                libm::exp(-0.5 * d * d) as f32
            })
            .collect()
    };
    // The integral of a Gaussian (sigma 40 degrees) of the direction difference over a section of 60 degrees.
    let sigma_turn = 1.0 / 9.0;
    let below = |x: f64| 0.5 * libm::erfc(-x / (sigma_turn * std::f64::consts::SQRT_2));
    let sections = (0..256)
        .map(|i| {
            std::array::from_fn(|k| {
                let centre = -0.5 + (k as f64 + 0.5) / SECTIONS as f64;
                let mut difference = i as f64 / 256.0 - centre;
                difference -= libm::floor(difference + 0.5);
                let half = 0.5 / SECTIONS as f64;
                (below(difference + half) - below(difference - half)) as f32
            })
        })
        .collect();
    let mut cell = [[usize::MAX; GRID]; GRID];
    let mut next = 0;
    for (row, cells) in cell.iter_mut().enumerate() {
        for (column, at) in cells.iter_mut().enumerate() {
            let (x, y) = (centre_px(column), centre_px(row));
            if x * x + y * y <= RADIUS_PX * RADIUS_PX {
                *at = next * SECTIONS;
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
        let mut sums = [0f32; RAW_DIMENSIONS];
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
        out.push(sums.map(|v| (v / (v + SQUASH) * 255.0 + 0.5) as u8));
    }
}

#[inline(always)]
fn add_disc(tables: &Tables, u: f32, v: f32, weight: f32, share: &[f32; SECTIONS], sums: &mut [f32; RAW_DIMENSIONS]) {
    for row in 0..GRID {
        let dv = (v - centre_px(row)).abs();
        if dv > REACH_PX {
            continue;
        }
        let gv = weight * tables.near[(dv * STEPS_PER_PX + 0.5) as usize];
        for column in 0..GRID {
            let at = tables.cell[row][column];
            let du = (u - centre_px(column)).abs();
            if du > REACH_PX || at == usize::MAX {
                continue;
            }
            let g = gv * tables.near[(du * STEPS_PER_PX + 0.5) as usize];
            for (sum, share) in sums[at..at + SECTIONS].iter_mut().zip(share) {
                *sum += g * share;
            }
        }
    }
}

#[inline(always)]
fn add_ring(tables: &Tables, u: f32, v: f32, weight: f32, share: &[f32; SECTIONS], sums: &mut [f32; RAW_DIMENSIONS]) {
    for (k, &(x, y)) in tables.ring_centres.iter().enumerate() {
        let d2 = (u - x) * (u - x) + (v - y) * (v - y);
        if d2 > RING_REACH_PX * RING_REACH_PX {
            continue;
        }
        let g = weight * tables.ring[(d2.sqrt() * STEPS_PER_PX + 0.5) as usize];
        let at = (CELLS_DISC + k) * SECTIONS;
        for (sum, share) in sums[at..at + SECTIONS].iter_mut().zip(share) {
            *sum += g * share;
        }
    }
}

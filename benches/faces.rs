//! Seeded embeddings for the face benches: a decaying spectrum in a random basis, and some mates.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use duynhat_engine::face::{Basis, FaceBlock, FaceBlockBytes, encode_block};
use duynhat_engine::kernel::Isa;
use rayon::prelude::*;

/// Uniform bits from a counter.
pub struct Random(u64);

impl Random {
    /// A stream of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Two normal variables.
    pub fn normals(&mut self) -> (f32, f32) {
        let u = ((self.bits() >> 40) as f32 + 0.5) / (1u32 << 24) as f32;
        let v = ((self.bits() >> 40) as f32 + 0.5) / (1u32 << 24) as f32;
        let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f32::consts::TAU * v);
        (radius * angle.cos(), radius * angle.sin())
    }
}

/// `rows` embeddings with singular values `exp(-i / decay)` (infinite: flat) in a random basis (products of random
/// reflections), row by row.
pub fn embeddings(rows: usize, dimension: usize, decay: f64, seed: u64) -> Vec<f32> {
    let sigma: Vec<f32> = (0..dimension).map(|i| (-(i as f64) / decay).exp() as f32).collect();
    // Three dozen Householder reflections mix the axes as thoroughly as a search can notice.
    let mut random = Random::new(7);
    let reflections: Vec<Vec<f32>> = (0..36)
        .map(|_| {
            let v: Vec<f32> = (0..dimension).map(|_| random.normals().0).collect();
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.iter().map(|x| x / norm).collect()
        })
        .collect();
    let mut all = vec![0f32; rows * dimension];
    all.par_chunks_mut(dimension).enumerate().for_each(|(i, row)| {
        let mut random = Random::new(seed.wrapping_add(1 + i as u64));
        for (pair, sigma) in row.chunks_mut(2).zip(sigma.chunks(2)) {
            let (a, b) = random.normals();
            pair[0] = a * sigma[0];
            if pair.len() > 1 {
                pair[1] = b * sigma[1];
            }
        }
        for v in &reflections {
            let along = 2.0 * sum_of_products(v, row);
            row.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
        }
        let norm = sum_of_products(row, row).sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    });
    all
}

fn sum_of_products(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (a, b) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.0.iter().zip(b.0) {
        for l in 0..16 {
            lanes[l] += a[l] * b[l];
        }
    }
    lanes.iter().sum::<f32>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f32>()
}

/// Probes: every second a mate of a random reference at a cosine of 0.3 to 0.8, the others strangers.
pub fn probes(references: &[f32], strangers: &[f32], dimension: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let rows = references.len() / dimension;
    let mut all = strangers.to_vec();
    for (i, probe) in all.chunks_mut(dimension).enumerate() {
        if i.is_multiple_of(2) {
            let mate = &references[(random.bits() % rows as u64) as usize * dimension..][..dimension];
            let cosine = 0.3 + 0.5 * (random.bits() >> 40) as f32 / (1u32 << 24) as f32;
            let sine = (1.0 - cosine * cosine).sqrt();
            probe.iter_mut().zip(mate).for_each(|(p, m)| *p = cosine * m + sine * *p);
        }
    }
    all
}

/// A gallery of blocks in memory.
pub struct Gallery {
    /// What its codes are in.
    pub basis: Basis,
    bytes: Vec<FaceBlockBytes>,
}

impl Gallery {
    /// Learns the basis from the first rows and encodes all on the current rayon pool.
    pub fn new(isa: Isa, rows: &[&[f32]], per_block: usize) -> Self {
        let sample = &rows[..rows.len().min(16_384)];
        let basis = match Basis::learn(sample, 0) {
            Ok(basis) => basis,
            Err(_) => Basis::initial(rows[0].len()).expect("a lawful dimension"),
        };
        let bytes = rows
            .par_chunks(per_block)
            .map(|rows| encode_block(isa, &basis, rows).expect("finite embeddings"))
            .collect();
        Self { basis, bytes }
    }

    /// The blocks, as a gallery would map them.
    pub fn blocks(&self) -> Vec<FaceBlock<'_>> {
        self.bytes.iter().map(|b| b.parse(&self.basis).expect("own bytes")).collect()
    }
}

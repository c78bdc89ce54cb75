//! The face figures of `duynhat capacity`: on synthetic embeddings, or on the operator's own.

use std::path::PathBuf;

use anyhow::Context;
use duynhat_engine::face::{self, Basis, FaceBlock, FaceBlockBytes, FaceProbe, Plan};
use duynhat_engine::kernel::Isa;
use rayon::prelude::*;

use super::capacity::{REFERENCES, SEED, rate};
use super::{BadInput, inputs};

/// Synthetic rows: enough that the codes a single probe reads don't fit a cache.
const ROWS: usize = 262_144;
const DIMENSIONS: usize = 512;
const PROBES: usize = 256;
const COSINE: f32 = 0.4;
/// References that the basis is learned from, as a gallery does.
const SAMPLE: usize = 4096;
/// Probes that the single search goes through in turn.
const SINGLES: usize = 64;

/// The operator's embeddings.
#[derive(clap::Args, Debug)]
pub struct FaceArgs {
    /// Measure faces on these references: a `.npy` array of 32-bit floats, one a row.
    #[arg(long, value_name = "FILE.npy", requires = "probes")]
    faces: Option<PathBuf>,
    /// Probes for `--faces`: a `.npy` array of as many columns.
    #[arg(long, value_name = "FILE.npy", requires = "faces")]
    probes: Option<PathBuf>,
}

/// What was measured.
pub struct Faces {
    /// All cores together.
    pub batch_per_s: f64,
    /// All cores together, one probe.
    pub single_ms_per_million: f64,
    /// Codes, figures and the embedding as given.
    pub bytes: f64,
    /// Said under the table.
    pub about: String,
}

/// Measures on the files given, or on seeded embeddings with a decaying spectrum (singular values exp(-i/150)).
///
/// # Errors
/// Files that can't be read, of different dimensions, or with rows that can't be enrolled.
pub fn measure(isa: Isa, args: &FaceArgs) -> anyhow::Result<Faces> {
    if let (Some(faces), Some(probes)) = (&args.faces, &args.probes) {
        let (references, queries) = (inputs::read_faces(faces)?, inputs::read_faces(probes)?);
        if references.dimension() != queries.dimension() {
            return Err(BadInput::error(format!(
                "{} has {} columns, {} has {}",
                faces.display(),
                references.dimension(),
                probes.display(),
                queries.dimension()
            )));
        }
        let (rows, probes): (Vec<_>, Vec<_>) = (references.rows().collect(), queries.rows().collect());
        let about = format!("Faces: {} references and {} probes as given", rows.len(), probes.len());
        return search(isa, &rows, &probes, about).context("--faces, --probes");
    }
    let (rows, probes) = (synthetic(ROWS, SEED), synthetic(PROBES, SEED + 1));
    let rows: Vec<&[f32]> = rows.chunks_exact(DIMENSIONS).collect();
    let probes: Vec<&[f32]> = probes.chunks_exact(DIMENSIONS).collect();
    let about = format!("Faces: {ROWS} synthetic embeddings of {DIMENSIONS} values, singular values exp(-i/150)");
    search(isa, &rows, &probes, about)
}

fn synthetic(count: usize, seed: u64) -> Vec<f32> {
    let scale: Vec<f32> = (0..DIMENSIONS).map(|i| (-(i as f32) / 150.0).exp()).collect();
    let mut state = seed;
    // A sum of four uniform numbers: near enough to normal for a rate.
    let mut normal = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (0..4).map(|k| (state >> (16 * k) & 0xffff) as f32 / 65_536.0 - 0.5).sum::<f32>()
    };
    (0..count * DIMENSIONS).map(|i| normal() * scale[i % DIMENSIONS]).collect()
}

fn search(isa: Isa, rows: &[&[f32]], probes: &[&[f32]], about: String) -> anyhow::Result<Faces> {
    let basis = match Basis::learn(&rows[..rows.len().min(SAMPLE)], SEED) {
        Ok(basis) => basis,
        // Too few to learn from: as a young gallery does.
        Err(_) => Basis::initial(rows[0].len())?,
    };
    let blocks: Vec<FaceBlockBytes> =
        rows.par_chunks(REFERENCES).map(|rows| face::encode_block(isa, &basis, rows)).collect::<Result<_, _>>()?;
    let bytes: usize = blocks.iter().map(|b| b.originals.len() + b.plane8.len() + b.plane4.len()).sum();
    let blocks: Vec<FaceBlock<'_>> = blocks.iter().map(|block| block.parse(&basis)).collect::<Result<_, _>>()?;
    let probes = FaceProbe::new_all(isa, &basis, probes)?;
    let plan = Plan::measure(isa, &basis, &blocks, COSINE)?;
    let search = |probes: &[FaceProbe]| {
        let found = face::search_blocks(isa, &basis, probes, &blocks, COSINE, plan, None);
        std::hint::black_box(found.map_or(0, |lists| lists.len()));
        probes.len() * rows.len()
    };
    let batch_per_s = rate(|| search(&probes));
    let mut at = 0;
    let single_per_s = rate(|| {
        at = (at + 1) % probes.len().min(SINGLES);
        search(&probes[at..=at])
    });
    let read = match plan.single {
        None => "int8".to_owned(),
        Some(passes) if passes.step == usize::MAX => "all".to_owned(),
        Some(passes) => format!("{} bytes", (passes.step + 1) * 32),
    };
    let about = format!("{about}, cosine {COSINE}; a single probe reads {read} of codes a reference.");
    let bytes = bytes as f64 / rows.len() as f64;
    Ok(Faces { batch_per_s, single_ms_per_million: 1e9 / single_per_s, bytes, about })
}

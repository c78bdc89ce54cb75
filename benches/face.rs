//! How many face comparisons a second does one core make, by ISA, prefix and batch size?
//!
//! `cargo bench -p duynhat-benches --bench face`. 16,384 references of 512 dimensions (8 MB of int8 codes: beyond the
//! second-level cache), singular values exp(-i/150), seed 1. Every search is compared with brute force before it is
//! timed. Throughput is in comparisons; a comparison of int8 at 512 dimensions reads 512 bytes of codes once a batch.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duynhat_benches::faces::{Gallery, embeddings, probes};
use duynhat_engine::face::{
    FaceBlock, FaceProbe, Hit, ProbeBatch, Scratch, compare, encode_block, search_block, search_block_single,
    search_pair,
};
use duynhat_engine::kernel::Isa;

const ROWS: usize = 16_384;
const DIMENSION: usize = 512;
const THRESHOLD: f32 = 0.4;

/// What one thread finds, block by block: `(probe, reference, cosine bits)`.
fn search(isa: Isa, batch: &ProbeBatch<'_>, blocks: &[FaceBlock<'_>], step: usize) -> Vec<(u32, u32, u32)> {
    let (mut all, mut hits, mut scratch) = (Vec::new(), Vec::<Hit>::new(), Scratch::default());
    for (b, block) in blocks.iter().enumerate() {
        hits.clear();
        search_block(isa, batch, block, THRESHOLD, step, &mut hits, &mut scratch).expect("one basis");
        all.extend(hits.iter().map(|h| (h.probe, b as u32 * 256 + h.entry, h.cosine.to_bits())));
    }
    all
}

fn face(c: &mut Criterion) {
    let best = Isa::active();
    let references = embeddings(ROWS, DIMENSION, 150.0, 1);
    let rows: Vec<&[f32]> = references.chunks(DIMENSION).collect();
    let gallery = Gallery::new(best, &rows, 256);
    let blocks = gallery.blocks();
    let queries = probes(&references, &embeddings(256, DIMENSION, 150.0, 1 << 40), DIMENSION, 99);
    let queries: Vec<&[f32]> = queries.chunks(DIMENSION).collect();
    let prepared = FaceProbe::new_all(best, &gallery.basis, &queries).expect("finite");

    let mut expected = Vec::new();
    for (r, row) in rows.iter().enumerate() {
        for (q, query) in queries.iter().enumerate() {
            let cosine = compare(best, query, row);
            if cosine >= THRESHOLD {
                expected.push((q as u32, r as u32, cosine.to_bits()));
            }
        }
    }
    expected.sort_unstable();

    let mut group = c.benchmark_group("face/batch");
    group.sample_size(10);
    for isa in Isa::available() {
        for step in [2, 3, 7] {
            for count in [1, 16, 256] {
                if isa == Isa::PORTABLE && count == 256 {
                    continue;
                }
                let batch = ProbeBatch::new(&gallery.basis, &prepared[..count]).expect("one basis");
                let mut found = search(isa, &batch, &blocks, step);
                found.sort_unstable();
                let wanted: Vec<_> = expected.iter().copied().filter(|h| (h.0 as usize) < count).collect();
                assert_eq!(found, wanted, "{isa}, step {step}, {count} probes: not brute force's answer");
                group.throughput(Throughput::Elements((ROWS * count) as u64));
                let name = format!("{isa}/{} dimensions/{count} probes", (step + 1) * 64);
                group.bench_function(name, |b| b.iter(|| search(isa, &batch, &blocks, step)));
            }
        }
    }
    group.finish();

    let mut group = c.benchmark_group("face/single");
    group.sample_size(20).throughput(Throughput::Elements(ROWS as u64));
    for isa in Isa::available() {
        for step in [2, 3, 7] {
            let single = |probe: &FaceProbe| {
                let (mut all, mut hits, mut scratch) = (Vec::new(), Vec::<Hit>::new(), Scratch::default());
                for (b, block) in blocks.iter().enumerate() {
                    hits.clear();
                    search_block_single(isa, probe, block, THRESHOLD, step, &mut hits, &mut scratch)
                        .expect("one basis");
                    all.extend(hits.iter().map(|h| b as u32 * 256 + h.entry));
                }
                all
            };
            for (q, probe) in prepared.iter().enumerate().take(16) {
                let mut wanted: Vec<u32> = expected.iter().filter(|h| h.0 as usize == q).map(|h| h.1).collect();
                wanted.sort_unstable();
                assert_eq!(single(probe), wanted, "{isa}, step {step}: not brute force's answer");
            }
            let name = format!("{isa}/{} dimensions", (step + 1) * 64);
            group.bench_function(name, |b| b.iter(|| single(&prepared[3])));
        }
    }
    group.finish();

    let mut group = c.benchmark_group("face/pairs");
    group.sample_size(10).throughput(Throughput::Elements(2 * 1024 * (ROWS as u64 - 1024)));
    let batch = ProbeBatch::from_blocks(best, &gallery.basis, &blocks[..4]).expect("one basis");
    group.bench_function(format!("{best}/192 dimensions/two a pair"), |b| {
        b.iter(|| {
            let (mut hits, mut scratch) = (Vec::new(), Scratch::default());
            for block in &blocks[4..] {
                search_pair(best, &batch, block, None, THRESHOLD, 2, &mut hits, &mut scratch).expect("one basis");
            }
            hits.len()
        })
    });
    group.finish();

    let mut group = c.benchmark_group("face/encode");
    group.sample_size(10).throughput(Throughput::Elements(256));
    for isa in Isa::available() {
        group.bench_function(format!("{isa}/block of 256"), |b| {
            b.iter(|| encode_block(isa, &gallery.basis, &rows[..256]).expect("finite"))
        });
    }
    group.finish();
}

criterion_group!(benches, face);
criterion_main!(benches);

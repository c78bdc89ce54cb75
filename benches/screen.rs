//! How many finger comparisons a second does one core screen? By instruction set, batch size and print size.
//!
//! Seed 1; one tile of 256 references, prints of synthetic people cropped to so many minutiae, with the shipped model's codes
//! and clusters. One element is one finger compared with one finger. `read` is the same work in bytes: the tile, read once
//! for a batch.
#![allow(missing_docs)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use duynhat_benches::fingers::Prints;
use duynhat_engine::finger::screen::{ScreenBatch, ScreenParams, ScreenProbe, ScreenScratch, TileBuffer};
use duynhat_engine::finger::{FingerFeatures, Model};
use duynhat_engine::kernel::Isa;

const REFERENCES: usize = 256;

fn screen(c: &mut Criterion) {
    for minutiae in [35, 60] {
        let mut prints = Prints::new(1);
        let references: Vec<FingerFeatures> = (0..REFERENCES).map(|_| prints.next(minutiae)).collect();
        let params = ScreenParams::of_model(Model::shipped());
        let probes: Vec<ScreenProbe> =
            (0..64).map(|_| ScreenProbe::new(prints.next(minutiae).view(), &params)).collect();
        let views: Vec<_> = references.iter().map(FingerFeatures::view).collect();
        let buffer = TileBuffer::encode(&views, params.clusters()).expect("within the limits");
        let tile = buffer.tile().expect("just encoded");
        let expected: Vec<u16> = probes.iter().flat_map(|p| views.iter().map(|v| p.score(Isa::PORTABLE, *v))).collect();

        let mut group = c.benchmark_group(format!("screen/{minutiae}_minutiae"));
        group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(600));
        for isa in Isa::available() {
            for size in [1, 2, 4, 8, 16, 32, 64] {
                let batch = ScreenBatch::new(&probes[..size]);
                let mut scratch = ScreenScratch::default();
                let mut scores = vec![0; size * REFERENCES];
                batch.screen(isa, &tile, &mut scratch, &mut scores);
                assert_eq!(scores, expected[..scores.len()], "{isa}");
                group.throughput(Throughput::Elements((size * REFERENCES) as u64));
                group.bench_function(BenchmarkId::new(isa.to_string(), format!("batch_{size}")), |b| {
                    b.iter(|| batch.screen(isa, &tile, &mut scratch, &mut scores));
                });
                group.throughput(Throughput::Bytes(buffer.bytes().len() as u64));
                group.bench_function(BenchmarkId::new(isa.to_string(), format!("batch_{size}/read")), |b| {
                    b.iter(|| batch.screen(isa, &tile, &mut scratch, &mut scores));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, screen);
criterion_main!(benches);

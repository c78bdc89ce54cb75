//! What does a fingerprint cost at enrolment, and how many comparisons does one core make a second?
//!
//! Synthetic people of seed 1, right index fingers, the shipped model: as they come, and those with 28 to 42 minutiae in
//! both impressions. `describe`: one element is one print. `compare`:
//! one element is one comparison; mated pairs are two impressions of one finger, non-mated ones of different people. `read` is
//! the same work in bytes of reference prints.
#![allow(missing_docs)]

use std::ops::RangeInclusive;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duynhat_datasets::People;
use duynhat_engine::finger::{CompareProbe, FingerFeatures, Model, Scratch, compare};
use duynhat_engine::template::{FingerPosition, FingerTemplate};

/// Pairs of impressions measured.
const FINGERS: usize = 40;
/// A stored minutia and its code.
const MINUTIA_BYTES: usize = 40;

fn finger(c: &mut Criterion) {
    of_size(c, "finger", 0..=255);
    of_size(c, "finger_35", 28..=42);
}

fn of_size(c: &mut Criterion, name: &str, sizes: RangeInclusive<usize>) {
    let model = Model::shipped();
    let people = People::new(1, Default::default());
    let index = FingerPosition::new(2).expect("right index");
    let fits = |print: &FingerTemplate| sizes.contains(&print.minutiae().len()) && model.features(print).is_ok();
    let pairs: Vec<[FingerTemplate; 2]> = (0..2_000)
        .map(|who| [0, 3].map(|impression| people.person(who).finger(index, impression)))
        .filter(|pair| pair.iter().all(fits))
        .take(FINGERS)
        .collect();
    assert_eq!(pairs.len(), FINGERS, "most synthetic prints can be enrolled");
    let minutiae = |side: usize| pairs.iter().map(|pair| pair[side].minutiae().len()).sum::<usize>();
    println!("{name}: {FINGERS} fingers, {:.1} minutiae on average", minutiae(0) as f64 / FINGERS as f64);

    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(FINGERS as u64));
    group.bench_function("describe", |b| {
        b.iter(|| {
            pairs.iter().map(|pair| model.features(&pair[0]).map_or(0, |f| f.view().codes().len())).sum::<usize>()
        });
    });

    let features = |side: usize| -> Vec<FingerFeatures> {
        pairs.iter().map(|pair| model.features(&pair[side]).expect("filtered above")).collect()
    };
    let (probes, references) = (features(0), features(1));
    let prepared: Vec<_> = probes.iter().map(|p| CompareProbe::new(model, p.view())).collect();
    let mut scratch = Scratch::new();
    let mut score = |i: usize, j: usize| compare(&prepared[i], references[j].view(), &mut scratch).score;
    let mean = |scores: Vec<f32>| scores.iter().sum::<f32>() / scores.len() as f32;
    let mated = mean((0..FINGERS).map(|i| score(i, i)).collect());
    let non_mated = mean((0..FINGERS).map(|i| score(i, (i + 1) % FINGERS)).collect());
    assert!(mated > non_mated + 5.0, "mated {mated}, non-mated {non_mated}");

    let others = 8;
    for (unit, per_finger) in [("", FINGERS), ("/read", minutiae(1) * MINUTIA_BYTES)] {
        let throughput = |times: usize| {
            let count = (per_finger * times) as u64;
            if unit.is_empty() { Throughput::Elements(count) } else { Throughput::Bytes(count) }
        };
        group.throughput(throughput(1));
        group.bench_function(format!("compare/mated{unit}"), |b| {
            b.iter(|| (0..FINGERS).map(|i| score(i, i)).sum::<f32>());
        });
        group.throughput(throughput(others));
        group.bench_function(format!("compare/non_mated{unit}"), |b| {
            b.iter(|| {
                (0..FINGERS)
                    .flat_map(|i| (1..=others).map(move |d| (i, (i + d) % FINGERS)))
                    .map(|(i, j)| score(i, j))
                    .sum::<f32>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, finger);
criterion_main!(benches);

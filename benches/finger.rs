//! What does a fingerprint cost at enrolment, and how many comparisons does one core make a second?
//!
//! Synthetic people of seed 1, right index fingers, the shipped model. `describe`: one element is one print. `compare`:
//! one element is one comparison; mated pairs are two impressions of one finger, non-mated ones of different people.
#![allow(missing_docs)]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duynhat_datasets::People;
use duynhat_engine::finger::{CompareProbe, FingerFeatures, Model, Scratch, compare};
use duynhat_engine::template::FingerPosition;

const PEOPLE: u64 = 48;

fn finger(c: &mut Criterion) {
    let model = Model::shipped();
    let people = People::new(1, Default::default());
    let index = FingerPosition::new(2).expect("right index");
    let templates =
        |impression| -> Vec<_> { (0..PEOPLE).map(|i| people.person(i).finger(index, impression)).collect() };
    let (first, second) = (templates(0), templates(3));

    let mut group = c.benchmark_group("finger");
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));

    let usable: Vec<usize> =
        (0..first.len()).filter(|&i| model.features(&first[i]).is_ok() && model.features(&second[i]).is_ok()).collect();
    assert!(usable.len() * 2 > first.len(), "most synthetic prints can be enrolled");
    let minutiae: usize = usable.iter().map(|&i| first[i].minutiae().len()).sum();
    println!("{} prints, {:.1} minutiae on average", usable.len(), minutiae as f64 / usable.len() as f64);

    group.throughput(Throughput::Elements(usable.len() as u64));
    group.bench_function("describe", |b| {
        b.iter(|| {
            usable.iter().map(|&i| model.features(&first[i]).map_or(0, |f| f.view().codes().len())).sum::<usize>()
        });
    });

    let features = |set: &[_]| -> Vec<FingerFeatures> {
        usable.iter().map(|&i| model.features(&set[i]).expect("filtered above")).collect()
    };
    let (probes, references) = (features(&first), features(&second));
    let prepared: Vec<_> = probes.iter().map(|p| CompareProbe::new(model, p.view())).collect();
    let mut scratch = Scratch::new();
    let mut score = |i: usize, j: usize| compare(&prepared[i], references[j].view(), &mut scratch).score;
    let count = prepared.len();
    let mean = |scores: Vec<f32>| scores.iter().sum::<f32>() / scores.len() as f32;
    let mated = mean((0..count).map(|i| score(i, i)).collect());
    let non_mated = mean((0..count).map(|i| score(i, (i + 1) % count)).collect());
    assert!(mated > non_mated + 5.0, "mated {mated}, non-mated {non_mated}");

    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("compare/mated", |b| b.iter(|| (0..count).map(|i| score(i, i)).sum::<f32>()));
    let others = 8;
    group.throughput(Throughput::Elements((count * others) as u64));
    group.bench_function("compare/non_mated", |b| {
        b.iter(|| {
            (0..count)
                .flat_map(|i| (1..=others).map(move |d| (i, (i + d) % count)))
                .map(|(i, j)| score(i, j))
                .sum::<f32>()
        });
    });
    group.finish();
}

criterion_group!(benches, finger);
criterion_main!(benches);

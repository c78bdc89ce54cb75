//! Holds the generator against the real collections: `cargo run --release -p duynhat-datasets --example statistics`.
//!
//! Prints quantiles of every statistic, real and synthetic side by side with their Kolmogorov-Smirnov distance, the
//! variance shares, the oracle's pairing of mated impressions, and the generator's speed.

mod common;

use std::path::Path;
use std::time::Instant;

use common::{Fingers, collections, synthetic};
use duynhat_datasets::collection::data_folder;
use duynhat_datasets::statistics::{Summary, mean, quantile, variance_shares};
use duynhat_datasets::{EncounterSettings, People, Settings, pairing};
use duynhat_engine::template::{FingerPosition, FingerTemplate};
use rayon::prelude::*;

fn print_summary(name: &str, summary: &Summary) {
    println!("{name}");
    for (what, values) in summary.named() {
        let q: Vec<String> =
            [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98].iter().map(|&p| format!("{:9.1}", quantile(values, p))).collect();
        println!("  {what:15} mean {:9.2} | {}", mean(values), q.join(" "));
    }
}

/// Oracle figures of some mated and non-mated pairs.
fn print_pairing(name: &str, fingers: &Fingers) {
    let mut mated = Vec::new();
    let mut non_mated = Vec::new();
    for (f, finger) in fingers.iter().enumerate() {
        for (i, a) in finger.iter().enumerate() {
            for b in finger.iter().skip(i + 1).step_by(2) {
                mated.push((a, b));
            }
            let other = &fingers[(f + 1 + i) % fingers.len()];
            non_mated.push((a, &other[i % other.len()]));
        }
    }
    mated.truncate(1500);
    non_mated.truncate(1500);
    let run = |pairs: &[(&FingerTemplate, &FingerTemplate)]| -> Vec<pairing::Pairing> {
        pairs.par_iter().map(|(a, b)| pairing::pair(a, b)).collect()
    };
    let (mated_pairs, non_mated) = (mated, run(&non_mated));
    let mated = run(&mated_pairs);
    let scores = |p: &[pairing::Pairing]| {
        let mut s: Vec<f64> = p.iter().map(pairing::Pairing::similarity).collect();
        s.sort_by(f64::total_cmp);
        s
    };
    let (genuine, impostor) = (scores(&mated), scores(&non_mated));
    let missed = |share: f64| {
        let threshold = quantile(&impostor, 1.0 - share);
        100.0 * genuine.iter().filter(|&&s| s <= threshold).count() as f64 / genuine.len() as f64
    };
    // Only clearly aligned pairs say something about jitter.
    let clear = |p: &pairing::Pairing| p.pairs.len() >= 14 && p.rate() > 0.35;
    let mut by_quality = [(0usize, 0usize); 5];
    for ((a, _), p) in mated_pairs.iter().zip(&mated).filter(|(_, p)| clear(p)) {
        for &i in &p.overlap_first {
            let quality = a.minutiae()[i].quality;
            let bin = &mut by_quality[[15, 25, 50, 75].iter().filter(|&&limit| quality >= limit).count()];
            bin.0 += 1;
            bin.1 += usize::from(p.pairs.iter().any(|pair| pair.0 == i));
        }
    }
    let good: Vec<_> = mated.iter().filter(|p| clear(p)).collect();
    let column = |f: fn(&&pairing::Pairing) -> Vec<f64>| {
        let mut v: Vec<f64> = good.iter().flat_map(f).collect();
        v.sort_by(f64::total_cmp);
        v
    };
    let rates = column(|p| vec![p.rate()]);
    let overlap = column(|p| vec![(p.overlap_first.len() + p.overlap_second.len()) as f64 * 0.5]);
    let pairs = column(|p| vec![p.pairs.len() as f64]);
    let distance = column(|p| p.distance_px.clone());
    let turn = column(|p| p.turn_deg.clone());
    let show = |v: &[f64]| {
        let q: Vec<String> = [0.1, 0.25, 0.5, 0.75, 0.9].iter().map(|&p| format!("{:6.2}", quantile(v, p))).collect();
        q.join(" ")
    };
    println!("{name}: {} mated, {} non-mated", mated.len(), non_mated.len());
    println!(
        "  missed at 10 % {:5.1}  5 % {:5.1}  1 % {:5.1}; aligned {:.2}",
        missed(0.1),
        missed(0.05),
        missed(0.01),
        good.len() as f64 / mated.len() as f64
    );
    println!("  rate     {}\n  overlap  {}\n  pairs    {}", show(&rates), show(&overlap), show(&pairs));
    let share = |(all, hit): (usize, usize)| format!("{:.2}", hit as f64 / all.max(1) as f64);
    println!("  paired by quality <15 <25 <50 <75: {}", by_quality.map(share).join(" "));
    println!("  distance {}\n  turn     {}", show(&distance), show(&turn));
}

fn quality_shares(name: &str, values: &[Vec<Vec<f64>>]) {
    if let Some(s) = variance_shares(values) {
        println!(
            "{name}: mean quality varies by person {:.2}, finger {:.2}, impression {:.2}",
            s.person, s.finger, s.impression
        );
    }
}

fn mean_quality(t: &FingerTemplate) -> f64 {
    t.minutiae().iter().map(|m| f64::from(m.quality)).sum::<f64>() / t.minutiae().len().max(1) as f64
}

fn main() {
    let people = People::new(1, Settings::default());
    let start = Instant::now();
    let n = 2000;
    let minutiae: usize = (0..n)
        .map(|i| people.person(i).encounter(0, &EncounterSettings::default()))
        .map(|b| b.fingers.iter().map(|f| f.minutiae().len()).sum::<usize>())
        .sum();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:.0} encounters/s/core of ten fingers and a face, {:.1} minutiae a finger",
        n as f64 / seconds,
        minutiae as f64 / (10 * n) as f64
    );

    if std::env::args().any(|a| a == "--speed") {
        return;
    }
    let made = synthetic(&people, 200, 6);
    let made_summary = Summary::of(made.iter().flatten());
    print_summary("synthetic", &made_summary);
    print_pairing("synthetic", &made);
    let by_person: Vec<Vec<Vec<f64>>> = (0..100)
        .map(|i| {
            [2u8, 3, 7, 8]
                .iter()
                .map(|&c| {
                    let p = FingerPosition::new(c).expect("a position");
                    (0..6).map(|k| mean_quality(&people.person(i).finger(p, k))).collect()
                })
                .collect()
        })
        .collect();
    quality_shares("synthetic", &by_person);
    if std::env::args().any(|a| a == "--synthetic") {
        return;
    }

    let Some(data) = data_folder(Path::new(env!("CARGO_MANIFEST_DIR"))) else {
        eprintln!("no real data: set DUYNHAT_DATA");
        return;
    };
    let mut pooled: Fingers = Vec::new();
    for (name, fingers) in collections(&data) {
        if std::env::args().any(|a| a == "--each") {
            print_summary(&name, &Summary::of(fingers.iter().flatten()));
            print_pairing(&name, &fingers);
        }
        if name.starts_with("fcj") {
            let values: Vec<Vec<Vec<f64>>> =
                fingers.chunks(4).map(|p| p.iter().map(|f| f.iter().map(mean_quality).collect()).collect()).collect();
            quality_shares(&name, &values);
            // As many as one of the others, lest one sensor rule.
            pooled.extend(fingers.into_iter().step_by(8));
        } else {
            pooled.extend(fingers);
        }
    }
    let pooled_summary = Summary::of(pooled.iter().flatten());
    print_summary("real, pooled", &pooled_summary);
    print_pairing("real, pooled", &pooled);
    for (name, ks) in made_summary.against(&pooled_summary) {
        println!("  KS {name:15} {:.3} (p {:.2e})", ks.distance, ks.p_value);
    }
}

//! Is one synthetic finger as hard as a real one? `cargo run --release -p duynhat-datasets --example difficulty`.
//!
//! All pairs within each real mindtct collection and within sets of synthetic fingers of the same size (10 fingers, 8
//! impressions) are compared with the shipped model; error rates are pooled over collections.

mod common;

use std::path::Path;

use common::{Fingers, collections, synthetic};
use duynhat_datasets::collection::data_folder;
use duynhat_datasets::{People, Settings};
use duynhat_engine::finger::{CompareProbe, FingerFeatures, Model, Scratch, compare};
use rayon::prelude::*;

/// Scores of mated and non-mated pairs.
#[derive(Default)]
struct Scores {
    mated: Vec<f64>,
    non_mated: Vec<f64>,
    failed: usize,
}

impl Scores {
    fn add(&mut self, fingers: &Fingers) {
        let model = Model::shipped();
        let mut prints: Vec<(usize, Option<FingerFeatures>)> = Vec::new();
        for (f, finger) in fingers.iter().enumerate() {
            prints.extend(finger.iter().map(|t| (f, model.features(t).ok())));
        }
        self.failed += prints.iter().filter(|p| p.1.is_none()).count();
        let scored: Vec<(Vec<f64>, Vec<f64>)> = (0..prints.len())
            .into_par_iter()
            .map_init(Scratch::new, |scratch, i| {
                let (mut mated, mut non_mated) = (Vec::new(), Vec::new());
                let probe = prints[i].1.as_ref().map(|p| CompareProbe::new(model, p.view()));
                for (f, print) in &prints[i + 1..] {
                    let score = match (&probe, print) {
                        (Some(probe), Some(print)) => f64::from(compare(probe, print.view(), scratch).score),
                        _ => f64::NEG_INFINITY,
                    };
                    if *f == prints[i].0 { &mut mated } else { &mut non_mated }.push(score);
                }
                (mated, non_mated)
            })
            .collect();
        for (mated, non_mated) in scored {
            self.mated.extend(mated);
            self.non_mated.extend(non_mated);
        }
    }

    fn print(&mut self, name: &str) {
        self.mated.sort_by(f64::total_cmp);
        self.non_mated.sort_by(f64::total_cmp);
        let below = |t: f64| self.mated.partition_point(|&s| s <= t) as f64 / self.mated.len() as f64;
        let above = |t: f64| 1.0 - self.non_mated.partition_point(|&s| s <= t) as f64 / self.non_mated.len() as f64;
        let eer = self.mated.iter().map(|&t| below(t).max(above(t))).fold(1.0, f64::min);
        let fnmr = |fmr: f64| {
            let index = ((1.0 - fmr) * self.non_mated.len() as f64) as usize;
            100.0 * below(self.non_mated[index.min(self.non_mated.len() - 1)])
        };
        let q = |v: &[f64], p: f64| v[((p * v.len() as f64) as usize).min(v.len() - 1)];
        println!(
            "{name:24} {:6} {:7} failed {:3} EER {:5.2} FNMR@1e-2 {:5.2} @1e-3 {:5.2} @1e-4 {:5.2} | mated {:6.2} {:6.2} {:6.2} {:6.2} | non-mated {:6.2} {:6.2} {:6.2}",
            self.mated.len(),
            self.non_mated.len(),
            self.failed,
            100.0 * eer,
            fnmr(1e-2),
            fnmr(1e-3),
            fnmr(1e-4),
            q(&self.mated, 0.05),
            q(&self.mated, 0.1),
            q(&self.mated, 0.25),
            q(&self.mated, 0.5),
            q(&self.non_mated, 0.5),
            q(&self.non_mated, 0.99),
            q(&self.non_mated, 0.999),
        );
    }
}

fn main() {
    let fingers: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(100);
    let people = People::new(2, Settings::default());
    let mut scores = Scores::default();
    for set in synthetic(&people, fingers, 8).chunks(10) {
        scores.add(&set.to_vec());
    }
    scores.print("synthetic");
    if std::env::args().any(|a| a == "--synthetic") {
        return;
    }
    let Some(data) = data_folder(Path::new(env!("CARGO_MANIFEST_DIR"))) else {
        eprintln!("no real data: set DUYNHAT_DATA");
        return;
    };
    let (mut fvc, mut fcj) = (Scores::default(), Scores::default());
    for (name, fingers) in collections(&data) {
        let mut own = Scores::default();
        if name.starts_with("fcj") {
            fcj.add(&fingers);
        } else {
            own.add(&fingers);
            own.print(&name);
            fvc.add(&fingers);
        }
    }
    fvc.print("FVC mindtct, pooled");
    fcj.print("FCJ mindtct");
}

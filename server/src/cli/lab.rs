//! Cross-validation for the laboratory.
use super::collection::load_collections;
use duynhat_engine::evaluation::rates::*;
use duynhat_engine::evaluation::training::*;
use duynhat_engine::evaluation::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
#[allow(missing_docs)]
pub fn run(folders: &[PathBuf], cross: bool) -> anyhow::Result<()> {
    let prints = load_collections(folders)?;
    let t = Instant::now();
    let mut all: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let mut compare_time = 0.0;
    let mut compares = 0usize;
    let sets = if cross { folds(&prints) } else { vec![(0..prints.len() as u32).collect()] };
    for fold in sets {
        let mut test = vec![];
        let mut train_set = vec![];
        for (i, p) in prints.iter().enumerate() {
            if fold.contains(&(i as u32)) { test.push(p.clone()) } else { train_set.push(p.clone()) }
        }
        if !cross {
            train_set = test.clone();
        }
        let trained = train(&train_set, SEED)?;
        println!(
            "fold {} mates {} found {:?} limits {} {} {:.1}s",
            fold.len(),
            trained.mates,
            trained.found,
            trained.model.screen_limit(),
            trained.model.local_limit(),
            t.elapsed().as_secs_f64()
        );
        let features = enrol(&trained.model, &test);
        let mut pairs = comparison_pairs(&test);
        // cross extractor
        for a in 0..test.len() {
            for b in 0..test.len() {
                if test[a].database() == test[b].database()
                    && test[a].collection.ends_with("secugen")
                    && test[b].collection.ends_with("mindtct")
                {
                    pairs.push((a as u32, b as u32));
                }
            }
        }
        let tc = Instant::now();
        let scores = compare_all(&trained.model, &features, &pairs);
        compare_time += tc.elapsed().as_secs_f64();
        compares += pairs.len();
        for (&(a, b), s) in pairs.iter().zip(&scores) {
            let (x, y) = (&test[a as usize], &test[b as usize]);
            let s = s.map_or(-20.0, |s| f64::from(s.score));
            let crossed = x.collection != y.collection;
            if crossed && x.impression == y.impression && x.finger == y.finger {
                continue;
            }
            let Some(mated) = comparable(x, y) else { continue };
            let kind = if crossed {
                "cross".to_owned()
            } else {
                format!(
                    "{}{}",
                    if x.database().starts_with("fcj") { "fcj-" } else { "" },
                    x.template.extractor.as_str()
                )
            };
            for key in
                [kind.clone(), if crossed { format!("zx {}", x.database()) } else { format!("z {}", x.collection) }]
            {
                let e = all.entry(key).or_default();
                if mated { e.0.push(s) } else { e.1.push(s) }
            }
        }
    }
    println!("{:24} {:>6} {:>7}  EER   @1e-2  @1e-3  @1e-4", "", "mated", "non");
    for (k, (m, n)) in all {
        let s = Scores::new(m, n);
        let x = Summary::of(&s);
        println!(
            "{:24} {:>6} {:>7} {:5.2} {:6.2} {:6.2} {:6.2}",
            k,
            s.mated().len(),
            s.non_mated().len(),
            100.0 * x.eer,
            100.0 * x.fnmr_at[0],
            100.0 * x.fnmr_at[1],
            100.0 * x.fnmr_at[2]
        );
    }
    println!("{compares} comparisons, {:.1} k/s wall", compares as f64 / compare_time / 1e3);
    Ok(())
}

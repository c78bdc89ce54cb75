//! Laboratory.
#![allow(missing_docs)]
use duynhat_engine::evaluation::rates::*;
use duynhat_engine::evaluation::training::*;
use duynhat_engine::evaluation::*;
use duynhat_engine::finger::*;
use duynhat_engine::template::*;
use std::collections::BTreeMap;
use std::time::Instant;

fn load(folder: &str) -> Vec<LabelledPrint> {
    let collection = folder.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    let ex = Extractor::new(collection.rsplit_once('-').unwrap().1).unwrap();
    let mut v = vec![];
    for e in std::fs::read_dir(folder).unwrap() {
        let p = e.unwrap().path();
        let stem = p.file_stem().unwrap().to_string_lossy().into_owned();
        let (f, i) = stem.rsplit_once('_').unwrap();
        let b = std::fs::read(&p).unwrap();
        let w = |a: usize| u32::from(b[a]) << 8 | u32::from(b[a + 1]);
        let (rx, ry) = (w(18), w(20));
        let sc = |v: u32, r: u32| ((u64::from(v) * 78_740 + u64::from(r) * 50) / (u64::from(r) * 100)) as u16;
        let m = (0..usize::from(b[27]))
            .map(|k| {
                let a = 28 + 6 * k;
                Minutia {
                    x: sc(w(a) & 0x3fff, rx),
                    y: sc(w(a + 2) & 0x3fff, ry),
                    angle: u16::from(b[a + 4]) << 8,
                    kind_code: (w(a) >> 14) as u8 % 3,
                    quality: b[a + 5].min(100),
                }
            })
            .collect();
        v.push(LabelledPrint {
            collection: collection.clone(),
            finger: f.into(),
            impression: i.parse().unwrap(),
            template: FingerTemplate::new(FingerPosition::UNKNOWN, 0, sc(w(14), rx), sc(w(16), ry), ex.clone(), m)
                .unwrap(),
        });
    }
    v.sort_by(|a, b| (&a.finger, a.impression).cmp(&(&b.finger, b.impression)));
    v
}

struct Stats {
    mean: f64,
    sd: f64,
    top: f64,
    topsd: f64,
}
fn cohort_stats(model: &Model, f: &FingerFeatures, cohort: &[FingerFeatures]) -> Stats {
    let probe = CompareProbe::new(model, f.view());
    let mut scratch = Scratch::new();
    let mut v: Vec<f64> =
        cohort.iter().map(|c| f64::from(compare(&probe, c.view(), &mut scratch).score).max(-9.0)).collect();
    v.sort_unstable_by(|a, b| b.total_cmp(a));
    let ms = |v: &[f64]| {
        let m = v.iter().sum::<f64>() / v.len() as f64;
        (m, (v.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / v.len() as f64).sqrt())
    };
    let (mean, sd) = ms(&v);
    let (top, topsd) = ms(&v[..v.len() / 5]);
    Stats { mean, sd: sd.max(0.1), top, topsd: topsd.max(0.1) }
}
const VARIANTS: [&str; 6] = ["raw", "z", "shift", "topz", "topshift", "topmix"];
fn variants(s: f64, a: &Stats, b: &Stats) -> [f64; 6] {
    [
        s,
        0.5 * ((s - a.mean) / a.sd + (s - b.mean) / b.sd),
        s - 0.5 * (a.mean + b.mean),
        0.5 * ((s - a.top) / a.topsd + (s - b.top) / b.topsd),
        s - 0.5 * (a.top + b.top),
        0.5 * ((s - a.top) / (a.topsd + 1.0) + (s - b.top) / (b.topsd + 1.0)),
    ]
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let cache = &args[0]; // folder of fold models; trained when absent
    let stride: usize = args[1].parse().unwrap(); // fcj non-mated stride
    let verbose = args.iter().any(|a| a == "-v");
    let whole = args.iter().any(|a| a == "-whole");
    let mut prints = vec![];
    let mut dirs: Vec<_> = std::fs::read_dir("/work/shared/data/finger")
        .unwrap()
        .map(|e| e.unwrap().path().to_string_lossy().into_owned())
        .collect();
    dirs.sort();
    for d in &dirs {
        prints.append(&mut load(d));
    }
    let _ = std::fs::create_dir_all(cache);
    let t = Instant::now();
    let kind_of_cohort = args.get(2).cloned().unwrap_or_default();
    let size: usize = args.get(3).and_then(|s| s.parse().ok()).unwrap_or(256);
    let mut all: BTreeMap<String, [(Vec<f64>, Vec<f64>); 6]> = BTreeMap::new();
    let (mut ct, mut cn) = (0.0, 0);
    let sets = if whole { vec![(0..prints.len() as u32).collect()] } else { folds(&prints) };
    for (k, fold) in sets.iter().enumerate() {
        let (mut test, mut tr) = (vec![], vec![]);
        for (i, p) in prints.iter().enumerate() {
            if fold.contains(&(i as u32)) { test.push(p.clone()) } else { tr.push(p.clone()) }
        }
        if whole {
            tr = test.clone();
        }
        let file = format!("{cache}/{}{k}.bin", if whole { "whole" } else { "fold" });
        let model = match std::fs::read(&file).ok().and_then(|b| Model::from_bytes_any(&b).ok()) {
            Some(m) => train_score(&m, &tr, SEED).unwrap(),
            None => {
                let x = train(&tr, SEED).unwrap();
                println!(
                    "fold {k} mates {} found {:?} limits {} {} {:.1}s",
                    x.mates,
                    x.found,
                    x.model.screen_limit(),
                    x.model.local_limit(),
                    t.elapsed().as_secs_f64()
                );
                std::fs::write(&file, x.model.to_bytes()).unwrap();
                x.model
            }
        };
        if verbose {
            println!("{:?}", model.weights_debug());
        }
        let features = enrol(&model, &test);
        let mut pairs = comparison_pairs(&test);
        for a in 0..test.len() {
            for b in 0..test.len() {
                if test[a].database() == test[b].database()
                    && test[a].collection.ends_with("secugen")
                    && test[b].collection.ends_with("mindtct")
                    && !(test[a].impression == test[b].impression && test[a].finger == test[b].finger)
                {
                    pairs.push((a as u32, b as u32));
                }
            }
        }
        let cohort: Vec<FingerFeatures> = match kind_of_cohort.as_str() {
            "real" => {
                use rayon::prelude::*;
                let pick: Vec<usize> = (0..size).map(|i| i * tr.len() / size).collect();
                pick.par_iter().filter_map(|&i| model.features(&tr[i].template).ok()).collect()
            }
            "synth" => {
                use rayon::prelude::*;
                let people = duynhat_datasets::People::new(77, duynhat_datasets::Settings::default());
                (0..size as u64)
                    .into_par_iter()
                    .filter_map(|i| {
                        model
                            .features(&people.person(i).finger(FingerPosition::new(1 + (i % 10) as u8).unwrap(), 0))
                            .ok()
                    })
                    .collect()
            }
            _ => vec![],
        };
        let stats: Vec<Stats> = {
            use rayon::prelude::*;
            features
                .par_iter()
                .map(|f| match f {
                    Some(f) if !cohort.is_empty() => cohort_stats(&model, f, &cohort),
                    _ => Stats { mean: 0.0, sd: 1.0, top: 0.0, topsd: 1.0 },
                })
                .collect()
        };
        if !cohort.is_empty() {
            let mut by: BTreeMap<&str, Vec<&Stats>> = BTreeMap::new();
            for (p, s) in test.iter().zip(&stats) {
                by.entry(&p.collection).or_default().push(s);
            }
            for (c, v) in by {
                let n = v.len() as f64;
                println!(
                    "  {c}: mean {:.2} sd {:.2} top {:.2} topsd {:.2}",
                    v.iter().map(|s| s.mean).sum::<f64>() / n,
                    v.iter().map(|s| s.sd).sum::<f64>() / n,
                    v.iter().map(|s| s.top).sum::<f64>() / n,
                    v.iter().map(|s| s.topsd).sum::<f64>() / n
                );
            }
        }
        let mut n = 0;
        pairs.retain(|&(a, b)| {
            let (x, y) = (&test[a as usize], &test[b as usize]);
            match comparable(x, y) {
                None => false,
                Some(true) => true,
                Some(false) => {
                    n += 1;
                    !x.database().starts_with("fcj") || n % stride == 0
                }
            }
        });
        let tc = Instant::now();
        let scores = compare_all(&model, &features, &pairs);
        ct += tc.elapsed().as_secs_f64();
        cn += pairs.len();
        for (&(a, b), s) in pairs.iter().zip(&scores) {
            let (x, y) = (&test[a as usize], &test[b as usize]);
            let s = s.map_or(-20.0, |s| f64::from(s.score));
            let crossed = x.collection != y.collection;
            let mated = comparable(x, y).unwrap();
            let kind = if crossed {
                "cross".to_owned()
            } else {
                format!(
                    "{}{}",
                    if x.database().starts_with("fcj") { "fcj-" } else { "" },
                    x.template.extractor.as_str()
                )
            };
            for key in [kind, if crossed { format!("zx {}", x.database()) } else { format!("z {}", x.collection) }] {
                let e = all.entry(key).or_default();
                for (e, s) in e.iter_mut().zip(variants(s, &stats[a as usize], &stats[b as usize])) {
                    if mated { e.0.push(s) } else { e.1.push(s) }
                }
            }
        }
    }
    for (k, [(m, _), ..]) in &all {
        if !k.starts_with('z') {
            println!(
                "{k}: mated at the lowest score {:.2} %",
                100.0 * m.iter().filter(|s| **s <= -20.0).count() as f64 / m.len() as f64
            );
        }
    }
    println!("{:24} {:>6} {:>7}  EER   @1e-2  @1e-3  @1e-4", "", "mated", "non");
    for (k, sets) in all {
        if k.starts_with('z') && !verbose {
            continue;
        }
        for (v, (m, n)) in sets.into_iter().enumerate() {
            if v > 0 && kind_of_cohort.len() < 2 {
                continue;
            }
            let k = format!("{k} {}", VARIANTS[v]);
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
    }
    println!("{cn} comparisons, {:.1} k/s wall; total {:.0} s", cn as f64 / ct / 1e3, t.elapsed().as_secs_f64());
}

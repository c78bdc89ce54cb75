//! Laboratory.
#![allow(missing_docs)]
use std::collections::BTreeMap;
use std::time::Instant;
use duynhat_engine::evaluation::training::*;
use duynhat_engine::evaluation::rates::*;
use duynhat_engine::evaluation::*;
use duynhat_engine::finger::*;
use duynhat_engine::template::*;

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
        let m = (0..usize::from(b[27])).map(|k| { let a = 28 + 6 * k; Minutia { x: sc(w(a) & 0x3fff, rx), y: sc(w(a + 2) & 0x3fff, ry), angle: u16::from(b[a + 4]) << 8, kind_code: (w(a) >> 14) as u8 % 3, quality: b[a + 5].min(100) } }).collect();
        v.push(LabelledPrint { collection: collection.clone(), finger: f.into(), impression: i.parse().unwrap(), template: FingerTemplate::new(FingerPosition::UNKNOWN, 0, sc(w(14), rx), sc(w(16), ry), ex.clone(), m).unwrap() });
    }
    v.sort_by(|a, b| (&a.finger, a.impression).cmp(&(&b.finger, b.impression)));
    v
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let cache = &args[0]; // folder of fold models; trained when absent
    let stride: usize = args[1].parse().unwrap(); // fcj non-mated stride
    let verbose = args.iter().any(|a| a == "-v");
    let whole = args.iter().any(|a| a == "-whole");
    let mut prints = vec![];
    let mut dirs: Vec<_> = std::fs::read_dir("/work/shared/data/finger").unwrap().map(|e| e.unwrap().path().to_string_lossy().into_owned()).collect();
    dirs.sort();
    for d in &dirs { prints.append(&mut load(d)); }
    let _ = std::fs::create_dir_all(cache);
    let t = Instant::now();
    let mut all: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let (mut ct, mut cn) = (0.0, 0);
    let sets = if whole { vec![(0..prints.len() as u32).collect()] } else { folds(&prints) };
    for (k, fold) in sets.iter().enumerate() {
        let (mut test, mut tr) = (vec![], vec![]);
        for (i, p) in prints.iter().enumerate() { if fold.contains(&(i as u32)) { test.push(p.clone()) } else { tr.push(p.clone()) } }
        if whole { tr = test.clone(); }
        let file = format!("{cache}/{}{k}.bin", if whole {"whole"} else {"fold"});
        let model = match std::fs::read(&file).ok().and_then(|b| Model::from_bytes_any(&b).ok()) {
            Some(m) => train_score(&m, &tr, SEED).unwrap(),
            None => { let x = train(&tr, SEED).unwrap(); println!("fold {k} mates {} found {:?} limits {} {} {:.1}s", x.mates, x.found, x.model.screen_limit(), x.model.local_limit(), t.elapsed().as_secs_f64()); std::fs::write(&file, x.model.to_bytes()).unwrap(); x.model }
        };
        if verbose { println!("{:?}", model.weights_debug()); }
        let features = enrol(&model, &test);
        let mut pairs = comparison_pairs(&test);
        for a in 0..test.len() { for b in 0..test.len() { if test[a].database() == test[b].database() && test[a].collection.ends_with("secugen") && test[b].collection.ends_with("mindtct") && !(test[a].impression == test[b].impression && test[a].finger == test[b].finger) { pairs.push((a as u32, b as u32)); } } }
        let mut n = 0;
        pairs.retain(|&(a, b)| { let (x, y) = (&test[a as usize], &test[b as usize]); match comparable(x, y) { None => false, Some(true) => true, Some(false) => { n += 1; !x.database().starts_with("fcj") || n % stride == 0 } } });
        let tc = Instant::now();
        let scores = compare_all(&model, &features, &pairs);
        ct += tc.elapsed().as_secs_f64(); cn += pairs.len();
        for (&(a, b), s) in pairs.iter().zip(&scores) {
            let (x, y) = (&test[a as usize], &test[b as usize]);
            let s = s.map_or(-20.0, |s| f64::from(s.score));
            let crossed = x.collection != y.collection;
            let mated = comparable(x, y).unwrap();
            let kind = if crossed { "cross".to_owned() } else { format!("{}{}", if x.database().starts_with("fcj") { "fcj-" } else { "" }, x.template.extractor.as_str()) };
            for key in [kind, if crossed { format!("zx {}", x.database()) } else { format!("z {}", x.collection) }] {
                let e = all.entry(key).or_default();
                if mated { e.0.push(s) } else { e.1.push(s) }
            }
        }
    }
    for (k,(m,_)) in &all { if !k.starts_with('z') { println!("{k}: mated at the lowest score {:.2} %", 100.0*m.iter().filter(|s| **s <= -20.0).count() as f64 / m.len() as f64); } }
    println!("{:24} {:>6} {:>7}  EER   @1e-2  @1e-3  @1e-4", "", "mated", "non");
    for (k, (m, n)) in all {
        if k.starts_with('z') && !verbose { continue; }
        let s = Scores::new(m, n);
        let x = Summary::of(&s);
        println!("{:24} {:>6} {:>7} {:5.2} {:6.2} {:6.2} {:6.2}", k, s.mated().len(), s.non_mated().len(), 100.0 * x.eer, 100.0 * x.fnmr_at[0], 100.0 * x.fnmr_at[1], 100.0 * x.fnmr_at[2]);
    }
    println!("{cn} comparisons, {:.1} k/s wall; total {:.0} s", cn as f64 / ct / 1e3, t.elapsed().as_secs_f64());
}

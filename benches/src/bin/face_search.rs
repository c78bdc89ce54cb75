//! Searches embeddings in process and prints one JSON line a measurement.
//!
//! `face_search --references X.npy --probes Q.npy` or `face_search --rows 1000000 --decay 150`, with `--threshold 0.4`,
//! `--threads N`, `--block 256`, `--repeats 5`, `--pairs ROWS` (all against all of the first rows), `--step N` (a fixed
//! prefix instead of the measured one; `--confirm N`: the closer look of a single probe), `--only batch|single`, `--hits FILE` (probe, reference, cosine of every candidate) and `--write DIR`
//! (writes the generated data and stops).

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use duynhat_benches::faces::{Gallery, embeddings, probes};
use duynhat_engine::face::{Candidates, FaceError, FaceProbe, Passes, Plan, all_pairs, compare, search_blocks};
use duynhat_engine::kernel::Isa;
use ndarray::{Array2, ArrayView2};
use ndarray_npy::{read_npy, write_npy};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("face_search: {error}");
            ExitCode::from(2)
        }
    }
}

struct Arguments(Vec<(String, String)>);

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name} {text}: not a number").into()),
        }
    }
}

fn run() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.len().is_multiple_of(2) {
        return Err("options come with a value".into());
    }
    let arguments = Arguments(words.chunks(2).map(|w| (w[0].clone(), w[1].clone())).collect());
    let threads = arguments.number("--threads", std::thread::available_parallelism()?.get())?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let (references, queries) = data(&arguments)?;
    if let Some(folder) = arguments.text("--write") {
        write_npy(format!("{folder}/references.npy"), &references)?;
        write_npy(format!("{folder}/probes.npy"), &queries)?;
        return Ok(());
    }
    measure(&arguments, threads, references.view(), queries.view())
}

fn data(arguments: &Arguments) -> Result<(Array2<f32>, Array2<f32>), Failure> {
    if let (Some(references), Some(queries)) = (arguments.text("--references"), arguments.text("--probes")) {
        let (references, queries): (Array2<f32>, Array2<f32>) = (read_npy(references)?, read_npy(queries)?);
        return Ok((references.as_standard_layout().into_owned(), queries.as_standard_layout().into_owned()));
    }
    let rows = arguments.number("--rows", 100_000usize)?;
    let dimension = arguments.number("--dimension", 512usize)?;
    let count = arguments.number("--queries", 1000usize)?;
    let decay = arguments.number("--decay", 150f64)?;
    let references = embeddings(rows, dimension, decay, 1);
    let strangers = embeddings(count, dimension, decay, 1 << 40);
    let queries = probes(&references, &strangers, dimension, 99);
    Ok((Array2::from_shape_vec((rows, dimension), references)?, Array2::from_shape_vec((count, dimension), queries)?))
}

/// A measurement repeated: wall clock and processor time, in seconds.
struct Timed<T> {
    median: f64,
    least: f64,
    most: f64,
    /// Median of the time that all threads together had a processor: what counts on a machine with neighbours.
    processor: f64,
    last: T,
}

fn timed<T>(repeats: usize, mut work: impl FnMut() -> T) -> Timed<T> {
    let (mut times, mut processor) = (Vec::with_capacity(repeats), Vec::with_capacity(repeats));
    let mut last = None;
    for _ in 0..repeats {
        let (start, processor_start) = (Instant::now(), processor_seconds());
        last = Some(work());
        times.push(start.elapsed().as_secs_f64());
        processor.push(processor_seconds() - processor_start);
    }
    times.sort_by(f64::total_cmp);
    processor.sort_by(f64::total_cmp);
    let (least, most) = (times[0], times[times.len() - 1]);
    let middle = times.len() / 2;
    Timed { median: times[middle], least, most, processor: processor[middle], last: last.expect("at least one run") }
}

/// Time on a processor, all threads; 0 where the system doesn't tell.
fn processor_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let of_task = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    tasks.flatten().filter_map(|task| of_task(task.path())).sum::<f64>() / 1e9
}

fn measure(
    arguments: &Arguments,
    threads: usize,
    references: ArrayView2<'_, f32>,
    queries: ArrayView2<'_, f32>,
) -> Result<(), Failure> {
    let isa = Isa::from_environment()?;
    let threshold = arguments.number("--threshold", 0.4f32)?;
    let repeats = arguments.number("--repeats", 5usize)?.max(1);
    let per_block = arguments.number("--block", 256usize)?;
    let rows: Vec<&[f32]> = references.rows().into_iter().map(|r| r.to_slice().unwrap_or(&[])).collect();
    let queries: Vec<&[f32]> = queries.rows().into_iter().map(|r| r.to_slice().unwrap_or(&[])).collect();
    let encoded = timed(1, || Gallery::new(isa, &rows, per_block));
    let (seconds, processor) = (encoded.median, encoded.processor);
    let gallery = encoded.last;
    let blocks = gallery.blocks();
    println!(
        r#"{{"measure":"encode","rows":{},"threads":{threads},"kernel":"{isa}","seconds":{seconds:.3},"processor_seconds":{processor:.3}}}"#,
        rows.len()
    );

    let measured = timed(1, || Plan::measure(isa, &gallery.basis, &blocks, threshold));
    let mut plan = measured.last?;
    if let Some(step) = arguments.text("--step") {
        let step = step.parse()?;
        let confirm = arguments.number("--confirm", step)?;
        plan = Plan { batch_step: step, narrow: None, single: Some(Passes { step, confirm }) };
    }
    println!(r#"{{"measure":"plan","plan":"{plan:?}","ms":{:.2}}}"#, measured.processor * 1e3);

    let prepared = FaceProbe::new_all(isa, &gallery.basis, &queries)?;
    let search = |probes: &[FaceProbe]| search_blocks(isa, &gallery.basis, probes, &blocks, threshold, plan, None);

    // Answers first, times then: some probes against brute force.
    let found = search(&prepared)?;
    let checked = queries.len().min(arguments.number("--check", 8usize)?);
    for (query, found) in queries.iter().zip(&found).take(checked) {
        let brute = rows.iter().filter(|row| compare(isa, query, row) >= threshold).count();
        assert_eq!(found.list.len(), brute, "batch differs from brute force");
    }
    for (probe, found) in prepared.iter().zip(&found).take(32) {
        assert_eq!(search(std::slice::from_ref(probe))?[0], *found, "single differs from batch");
    }
    if let Some(path) = arguments.text("--hits") {
        write_hits(path, &found, per_block)?;
    }

    let wanted = |measure: &str| arguments.text("--only").is_none_or(|only| only == measure);
    if wanted("batch") {
        let Timed { median, least, most, processor, .. } = timed(repeats, || search(&prepared));
        let pairs = rows.len() as f64 * queries.len() as f64;
        println!(
            r#"{{"measure":"batch","probes":{},"threads":{threads},"seconds":{median:.4},"seconds_least":{least:.4},"seconds_most":{most:.4},"gcomparisons_per_s":{:.3},"gcomparisons_per_processor_s":{:.3},"hits":{}}}"#,
            queries.len(),
            pairs / median / 1e9,
            pairs / processor / 1e9,
            found.iter().map(|f| f.list.len()).sum::<usize>(),
        );
    }
    if wanted("single") {
        single(&prepared, &search, repeats, threads);
    }
    let all = arguments.number("--pairs", 0usize)?.min(rows.len()) / per_block;
    if all > 0 {
        let Timed { median, least, processor, last: found, .. } = timed(repeats.min(3), || {
            let mut count = 0;
            all_pairs(isa, &gallery.basis, &blocks[..all], threshold, plan, &mut |pairs, _| {
                count += pairs.len();
                true
            })
            .map(|()| count)
        });
        let n = (all * per_block) as f64;
        println!(
            r#"{{"measure":"pairs","rows":{n},"threads":{threads},"seconds":{median:.3},"seconds_least":{least:.3},"gcomparisons_per_s":{:.3},"gcomparisons_per_processor_s":{:.3},"hits":{}}}"#,
            n * (n - 1.0) / median / 1e9,
            n * (n - 1.0) / processor / 1e9,
            found?
        );
    }
    Ok(())
}

type Search<'s> = dyn Fn(&[FaceProbe]) -> Result<Vec<Candidates>, FaceError> + 's;

fn single(prepared: &[FaceProbe], search: &Search<'_>, repeats: usize, threads: usize) {
    let mut at = 0;
    let Timed { median, least, most, processor, .. } = timed(repeats * 10, || {
        at = (at + 1) % prepared.len();
        search(std::slice::from_ref(&prepared[at]))
    });
    println!(
        r#"{{"measure":"single","threads":{threads},"ms":{:.3},"ms_least":{:.3},"ms_most":{:.3},"processor_ms":{:.3}}}"#,
        median * 1e3,
        least * 1e3,
        most * 1e3,
        processor * 1e3
    );
}

fn write_hits(path: &str, found: &[Candidates], per_block: usize) -> Result<(), Failure> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for (probe, candidates) in found.iter().enumerate() {
        for c in &candidates.list {
            writeln!(file, "{probe},{},{}", c.block as usize * per_block + c.entry as usize, c.cosine)?;
        }
    }
    Ok(())
}

//! `duynhat reverify`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use duynhat_engine::decision::{Band, Fused, Judge};
use duynhat_engine::search::{BatchOptions, BatchProgress, Candidate, FingerScore, Hands, all_against_all};
use serde::Serialize;

use super::{BadInput, grouped, print_json, progress};
use crate::registry::Registry;
use crate::service::{Models, registry_path};

/// Compares everyone with everyone and lists suspected duplicates; leaves nothing in the data folder.
#[derive(clap::Args, Debug)]
pub struct ReverifyArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where `duplicates.csv`, `hubs.csv` and `summary.txt` go; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Fingers of each reference that are screened, 1 to 4.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub fingers: u8,
    /// Find people whose fingers were enrolled under other names too: hands exchanged, fingers shifted, positions unknown.
    /// Took seven times as long among 1,500 people; asks for more before it believes a pair.
    #[arg(long)]
    pub cross_position: bool,
    /// Threads; default: all cores.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON document instead of words.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Summary {
    references: u64,
    pairs: u64,
    suspected: usize,
    duplicate: usize,
    review: usize,
    judged_different: usize,
    log_position: u64,
    policy: String,
    seconds: f64,
    pairs_per_s: f64,
    face_hubs: usize,
}

/// Reverifies.
///
/// # Errors
/// A damaged data folder, or the output can't be written.
pub fn run(args: &ReverifyArgs) -> anyhow::Result<()> {
    let mut models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let policy = super::policy::adopted(&args.data, &mut models)?;
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.clamp(1, 1024)).build()?;
    let gallery = pool.install(|| super::open_folder(&args.data, &models))?;
    let snapshot = &gallery.snapshot;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    // Three ways to look are three chances for a stranger: each gets a third of the target.
    let ways = if args.cross_position { Hands::ALL.len() as f64 } else { 1.0 };
    let mut targets = policy.clone();
    targets.duplicate_fpir /= ways;
    targets.review_fpir /= ways;
    let judge = Judge { policy: &targets, tails: &models.tails, references: snapshot.live() };

    let started = std::time::Instant::now();
    let options = BatchOptions {
        fingers: usize::from(args.fingers),
        cross_position: args.cross_position,
        ..BatchOptions::default()
    };
    let done = BatchProgress::default();
    // Tiles are counted whole: each block against itself and every earlier one.
    let total: u64 = snapshot.blocks().map(|b| u64::from(b.rows) * (b.first_row + u64::from(b.rows))).sum();
    let bar = progress(total, "comparing pairs");
    let pairs = std::thread::scope(|scope| {
        let search = scope.spawn(|| {
            pool.install(|| {
                all_against_all(models.matcher(), snapshot, &options, &done, |candidate| {
                    judge.place(candidate).2 >= Band::Review
                })
            })
        });
        while !search.is_finished() {
            bar.set_position(done.done());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        search.join()
    });
    bar.finish_and_clear();
    let pairs = pairs.map_err(|_| anyhow::anyhow!("the search failed"))??;
    let seconds = started.elapsed().as_secs_f64();

    let path = args.out.join("duplicates.csv");
    let mut csv = String::from(
        "subject_a,position_a,subject_b,position_b,score,band,fingers,face,review_threshold,duplicate_threshold,hands\n",
    );
    let registry = registry_path(&args.data);
    let registry = if registry.exists() { Some(Registry::open_read_only(&registry)?) } else { None };
    let (mut duplicate, mut suspected, mut judged_different) = (0, 0, 0);
    for pair in &pairs {
        let (fused, thresholds, band) = judge.place(&pair.candidate);
        let (a, b) = (snapshot.subject(pair.probe)?, snapshot.subject(pair.candidate.row)?);
        // Two encounters of one subject are no news, nor are two that people have found to be of different subjects.
        if a == b {
            continue;
        }
        let position = |row| snapshot.position_of(row).map(Option::unwrap_or_default);
        let (at_a, at_b) = (position(pair.probe)?, position(pair.candidate.row)?);
        if let Some(registry) = &registry
            && registry.distinct_from(at_a)?.contains(&at_b)
        {
            judged_different += 1;
            continue;
        }
        suspected += 1;
        let strong = band == Band::Duplicate;
        duplicate += usize::from(strong);
        let (fingers, face) = shares(&fused);
        let band = if strong { "duplicate" } else { "review" };
        let (review, duplicate) = (thresholds.review, thresholds.duplicate);
        csv += &format!(
            "{a},{at_a},{b},{at_b},{:.2},{band},{fingers:.2},{face:.2},{review:.2},{duplicate:.2},{}\n",
            fused.score,
            hands(&pair.candidate)
        );
    }
    write_whole(&path, csv.as_bytes())?;
    let hubs = done.hubs(snapshot.rows());
    let mut csv = String::from("subject,position,neighbours\n");
    for (row, neighbours) in &hubs {
        let position = snapshot.position_of(*row)?.unwrap_or_default();
        csv += &format!("{},{position},{neighbours}\n", snapshot.subject(*row)?);
    }
    write_whole(&args.out.join("hubs.csv"), csv.as_bytes())?;
    let live = snapshot.live();
    let pairs = live * live.saturating_sub(1) / 2;
    let summary = Summary {
        references: live,
        pairs,
        suspected,
        duplicate,
        review: suspected - duplicate,
        judged_different,
        log_position: gallery.position,
        policy: policy.version(),
        seconds: (seconds * 1e3).round() / 1e3,
        pairs_per_s: (pairs as f64 / seconds.max(1e-9)).round(),
        face_hubs: hubs.len(),
    };
    let text = format!(
        "{} references, {} pairs in {:.1} s ({} pairs/s), log position {}\n\
         suspected duplicates: {} ({} duplicate, {} for review) by policy {}\n\
         found to be different people before: {}\n\
         faces near too many others: {} (hubs.csv)\n\
         listed in {}\n",
        grouped(summary.references),
        grouped(summary.pairs),
        summary.seconds,
        grouped(summary.pairs_per_s as u64),
        summary.log_position,
        summary.suspected,
        summary.duplicate,
        summary.review,
        summary.policy,
        summary.judged_different,
        summary.face_hubs,
        path.display()
    );
    write_whole(&args.out.join("summary.txt"), text.as_bytes())?;
    if args.json {
        return print_json(&summary);
    }
    print!("{text}");
    Ok(())
}

/// `declared`, `swapped`, or which finger of a is which of b.
fn hands(candidate: &Candidate) -> String {
    match candidate.hands {
        Hands::AsDeclared => "declared".into(),
        Hands::Swapped => "swapped".into(),
        Hands::Crossed => {
            let pair = |f: &FingerScore| format!("{}={}", f.position.code(), f.reference.code());
            candidate.fingers.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
    }
}

fn shares(fused: &Fused) -> (f32, f32) {
    let sum = |finger: bool| fused.shares.iter().filter(|s| s.finger.is_some() == finger).map(|s| s.llr()).sum();
    (sum(true), sum(false))
}

/// Never half a file under its final name.
fn write_whole(path: &std::path::Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        std::fs::File::create(&temporary)?.write_all(bytes)?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| path.display().to_string())
}

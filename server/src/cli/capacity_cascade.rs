//! The cascade's part of `duynhat capacity`: how fast it is, and what it loses. It chooses and keeps as searches do.

use duynhat_datasets::{EncounterSettings, People};
use duynhat_engine::finger::cascade::{one_in, shortlist_len};
use duynhat_engine::finger::screen::{
    ScreenBatch, ScreenParams, ScreenProbe, ScreenScratch, Tile, TileBuffer, normalised,
};
use duynhat_engine::finger::{Cohort, CompareProbe, FingerFeatures, Model, Scratch, compare, normalise};
use duynhat_engine::gallery::Prepared;
use duynhat_engine::kernel::Isa;
use duynhat_engine::search::{Probe, SCREEN_FINGERS};
use duynhat_engine::template::FingerPosition;
use rayon::prelude::*;

use super::capacity::{FINGERS, REFERENCES, Sample, rate as rate_of};

/// Probe people, searched together.
const PROBES: usize = 8;
/// People of a gallery whose loss is measured, each searched for among all: as many as one is kept of. Another seed than the
/// rates'.
pub const PEOPLE: u64 = one_in(SCREEN_FINGERS);
/// People of one tile.
const TILE: usize = 1_000;
const SEED: u64 = 2;

/// A column, the probe people screened against it with their minutiae, and their packed prints.
type ColumnBatch = (usize, Vec<(usize, u8)>, ScreenBatch);

/// A person on one day.
fn prepared(model: &Model, people: &People, who: u64, shot: u64) -> Prepared {
    let settings = EncounterSettings { faces: 0, ..EncounterSettings::default() };
    Prepared::new(model, Cohort::shipped(), &people.person(who).encounter(shot, &settings))
}

/// Strangers that the screen hands on: the screened fingers speak against all but one in so many (`AGAINST`).
const ALL_FINGERS_ONE_IN: u64 = 23;

/// People of a block a second, for each probe person: the screened fingers of everyone, and of those who are kept, and now
/// and then all.
pub fn rate(
    isa: Isa,
    params: &ScreenParams,
    model: &Model,
    people: &People,
    columns: &[Sample],
    tiles: &[Tile<'_>],
) -> f64 {
    let hands: Vec<Prepared> = (0..PROBES as u64).map(|who| prepared(model, people, who, 1)).collect();
    let probes: Vec<Probe<'_>> = hands.iter().map(|hand| Probe::new(model, params, hand)).collect();
    let compares: Vec<Vec<(usize, CompareProbe<'_>)>> = hands
        .iter()
        .map(|hand| {
            let one = |f: &duynhat_engine::gallery::PreparedFinger| {
                (usize::from(f.position.code()).saturating_sub(1), CompareProbe::new(model, f.features.view()))
            };
            hand.fingers.iter().map(one).collect()
        })
        .collect();
    // The probe people of each column, batched.
    let batches: Vec<ColumnBatch> = (0..FINGERS)
        .map(|column| {
            let mut who = Vec::new();
            let mut screens = Vec::new();
            for (number, (hand, probe)) in hands.iter().zip(&probes).enumerate() {
                let of_column = |at: &&usize| usize::from(hand.fingers[**at].position.code()) == column + 1;
                if let Some(&at) = probe.screened().iter().find(of_column) {
                    let screen = ScreenProbe::new(hand.fingers[at].features.view(), params);
                    who.push((number, screen.minutiae()));
                    screens.push(screen);
                }
            }
            (column, who, ScreenBatch::new(&screens))
        })
        .collect();
    let (mut screens, mut scratch, mut scores) = (ScreenScratch::default(), Scratch::new(), Vec::new());
    let (mut owed, mut kept) = (0, 0);
    rate_of(|| {
        let mut sums = vec![[0u32; REFERENCES]; PROBES];
        for (column, who, batch) in &batches {
            let tile = &tiles[*column];
            scores.clear();
            scores.resize(who.len() * REFERENCES, 0);
            batch.screen(isa, tile, &mut screens, &mut scores);
            for (&(number, size), scores) in who.iter().zip(scores.chunks_exact(REFERENCES)) {
                for (entry, (sum, &score)) in sums[number].iter_mut().zip(scores).enumerate() {
                    *sum += normalised(score, size, tile.minutiae_of(entry).unwrap_or(0));
                }
            }
        }
        for (number, sums) in sums.iter().enumerate() {
            // A block has fewer people than one is kept of: its share is compared as soon as it is whole.
            owed += REFERENCES as u64;
            let one_in = one_in(probes[number].screen_worth());
            while owed >= one_in {
                owed -= one_in;
                kept += 1;
                let best = sums.iter().enumerate().max_by_key(|(_, sum)| **sum).map_or(0, |(entry, _)| entry);
                let screened = probes[number].screened();
                let compared = |(at, _): &(usize, _)| kept % ALL_FINGERS_ONE_IN == 0 || screened.contains(at);
                for (_, (column, probe)) in compares[number].iter().enumerate().filter(compared) {
                    if let Some(reference) = &columns[*column].features[best] {
                        std::hint::black_box(compare(probe, reference.view(), &mut scratch).score);
                    }
                }
            }
        }
        PROBES * REFERENCES
    })
}

/// What the cascade lost.
pub struct Loss {
    /// People searched for.
    pub probes: usize,
    /// Those who were not kept, though comparing everyone would have put them first.
    pub lost: usize,
}

/// [`loss_among`] in so many galleries of different people.
pub fn loss(isa: Isa, params: &ScreenParams, model: &Model, galleries: u64) -> anyhow::Result<Loss> {
    let mut all = Loss { probes: 0, lost: 0 };
    for gallery in 0..galleries {
        let one = loss_among(isa, params, model, gallery * PEOPLE)?;
        all.probes += one.probes;
        all.lost += one.lost;
    }
    Ok(all)
}

/// Each of two thousand people on a second day among all of them on the first: kept, as in a gallery of millions, is one in
/// two thousand, that is one. The shortest list of a real search is longer, so that it loses less.
fn loss_among(isa: Isa, params: &ScreenParams, model: &Model, first: u64) -> anyhow::Result<Loss> {
    let people = People::new(SEED, Default::default());
    let make = |shot: u64| -> Vec<Prepared> {
        (first..first + PEOPLE).into_par_iter().map(|who| prepared(model, &people, who, shot)).collect()
    };
    let (references, probes) = (make(0), make(1));
    let empty = FingerFeatures::new(Vec::new(), Vec::new());
    let finger = |hand: &Prepared, position: FingerPosition| hand.fingers.iter().position(|f| f.position == position);
    let columns: Vec<Vec<TileBuffer>> = FingerPosition::known()
        .map(|position| {
            let view = |hand| finger(hand, position).map_or(empty.view(), |at| hand.fingers[at].features.view());
            let views: Vec<_> = references.iter().map(view).collect();
            views.chunks(TILE).map(|views| TileBuffer::encode(views, model.clusters())).collect::<Result<_, _>>()
        })
        .collect::<Result<_, _>>()?;
    let tiles: Vec<Vec<Tile<'_>>> = columns
        .iter()
        .map(|column| column.iter().map(TileBuffer::tile).collect::<Result<_, _>>())
        .collect::<Result<_, _>>()?;
    // All fingers that both have, compared.
    let fused = |scratch: &mut Scratch, probe: &Prepared, reference: &Prepared| -> f32 {
        let one = |f: &duynhat_engine::gallery::PreparedFinger| {
            let other = &reference.fingers[finger(reference, f.position)?];
            let own = CompareProbe::new(model, f.features.view());
            Some(normalise(compare(&own, other.features.view(), scratch).score, f.cohort, other.cohort))
        };
        probe.fingers.iter().filter_map(one).sum()
    };
    let lost = probes
        .par_iter()
        .enumerate()
        .map_init(
            || (ScreenScratch::default(), Scratch::new()),
            |(screens, scratch), (who, hand)| {
                let probe = Probe::new(model, params, hand);
                let mut sums = vec![0u32; references.len()];
                for &at in probe.screened() {
                    let column = usize::from(hand.fingers[at].position.code()) - 1;
                    let screen = ScreenProbe::new(hand.fingers[at].features.view(), params);
                    let size = screen.minutiae();
                    let batch = ScreenBatch::new(&[screen]);
                    for (tile, sums) in tiles[column].iter().zip(sums.chunks_mut(TILE)) {
                        let mut scores = vec![0u16; sums.len()];
                        batch.screen(isa, tile, screens, &mut scores);
                        for (entry, (sum, &score)) in sums.iter_mut().zip(&scores).enumerate() {
                            *sum += normalised(score, size, tile.minutiae_of(entry).unwrap_or(0));
                        }
                    }
                }
                let keep = shortlist_len(probe.screen_worth(), PEOPLE, 1);
                let mut order: Vec<usize> = (0..sums.len()).collect();
                order.sort_unstable_by_key(|&row| (std::cmp::Reverse(sums[row]), row));
                if order[..keep].contains(&who) {
                    return 0;
                }
                let mate = fused(scratch, hand, &references[who]);
                usize::from(
                    (0..references.len()).all(|row| row == who || fused(scratch, hand, &references[row]) < mate),
                )
            },
        )
        .sum();
    Ok(Loss { probes: probes.len(), lost })
}

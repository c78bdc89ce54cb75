//! Every instruction set against the definition.

use proptest::prelude::*;

use super::*;

/// The definition, from `(code, entry)` in order.
fn oracle(minutiae: &[([u64; 2], u8)], query: &Query, limit: u8) -> Vec<u16> {
    let near = |place: &u32| (minutiae[*place as usize].0[0] ^ query.code[0]).count_ones() < u32::from(limit);
    (query.low..query.high).filter(near).map(|place| place as u16).collect()
}

fn blocks_of(minutiae: &[([u64; 2], u8)]) -> Vec<Block> {
    let chunk = |chunk: &[([u64; 2], u8)]| {
        let mut block = Block::zeroed();
        for (place, &(code, entry)) in chunk.iter().enumerate() {
            block.prefixes[Block::slot(place)] = code[0];
            block.rests[place] = code[1];
            block.entries[place] = entry;
        }
        block
    };
    minutiae.chunks(BLOCK_MINUTIAE).map(chunk).collect()
}

/// Few distinct words, so that near and far codes, 0 and 128 bits, all occur.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), (0..64u32).prop_map(|n| (1 << n) - 1)]
}

proptest! {
    #[test]
    fn every_instruction_set_finds_what_the_definition_finds(
        minutiae in prop::collection::vec(([word(), word()], any::<u8>()), 0..400),
        codes in prop::collection::vec(([word(), word()], any::<u16>(), any::<u16>()), 1..=GROUP_MAX),
        limit in 0..=65u8,
    ) {
        let blocks = blocks_of(&minutiae);
        let queries: Vec<Query> = codes.iter().map(|&(code, a, b)| {
            let bound = |n: u16| u32::from(n) % (minutiae.len() as u32 + 1);
            Query { code, low: bound(a).min(bound(b)), high: bound(a).max(bound(b)) }
        }).collect();
        for isa in Isa::available() {
            let mut hits = Hits::default();
            near(isa, Turning::default().ready(isa, &blocks), &queries, limit, &mut hits);
            for (index, query) in queries.iter().enumerate() {
                prop_assert_eq!(hits.lane(index).places(), oracle(&minutiae, query, limit), "{}, query {}", isa, index);
            }
        }
    }
}

#[test]
fn a_lane_holds_every_minutia_of_the_longest_call() {
    let minutiae: Vec<_> = (0..LANE_MAX).map(|i| ([i as u64, 0], i as u8)).collect();
    let blocks = blocks_of(&minutiae);
    let query = Query { code: [0, 0], low: 0, high: LANE_MAX as u32 };
    for isa in Isa::available() {
        for count in 1..=GROUP_MAX {
            let mut hits = Hits::default();
            near(isa, Turning::default().ready(isa, &blocks), &vec![query; count], 65, &mut hits);
            for index in 0..count {
                assert_eq!(hits.lane(index).places(), oracle(&minutiae, &query, 65), "{isa}");
            }
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn blocks_made_ready_for_another_instruction_set_are_refused() {
    let blocks = [Block::zeroed()];
    let query = Query { code: [0, 0], low: 0, high: 64 };
    for isa in Isa::available().into_iter().filter(|isa| isa.level() == Level::Avx2) {
        let run = || near(isa, Turning::default().ready(Isa::PORTABLE, &blocks), &[query], 10, &mut Hits::default());
        assert!(std::panic::catch_unwind(run).is_err());
    }
}

#[test]
fn slots_are_a_permutation() {
    let mut seen = [false; BLOCK_MINUTIAE];
    for place in 0..BLOCK_MINUTIAE {
        assert!(!std::mem::replace(&mut seen[Block::slot(place)], true));
    }
}

#[test]
#[should_panic(expected = "a window ends beyond the blocks")]
fn a_window_beyond_the_blocks_is_refused() {
    let query = Query { code: [0, 0], low: 0, high: 65 };
    let blocks = [Block::zeroed()];
    let mut turning = Turning::default();
    near(Isa::PORTABLE, turning.ready(Isa::PORTABLE, &blocks), &[query], 10, &mut Hits::default());
}

//! Every instruction set against the definition.

use proptest::prelude::*;

use super::*;

/// The definition, from `(code, entry)` in order.
fn oracle(minutiae: &[([u64; 2], u8)], query: &Query, limit: u8) -> Vec<(u8, u8)> {
    let distance =
        |code: [u64; 2]| ((code[0] ^ query.code[0]).count_ones() + (code[1] ^ query.code[1]).count_ones()) as u8;
    minutiae[query.low as usize..query.high as usize]
        .iter()
        .map(|&(code, entry)| (distance(code), entry))
        .filter(|&(distance, _)| distance < limit)
        .collect()
}

fn blocks_of(minutiae: &[([u64; 2], u8)]) -> Vec<Block> {
    let chunk = |chunk: &[([u64; 2], u8)]| {
        let mut block = Block::zeroed();
        for (lane, &(code, entry)) in chunk.iter().enumerate() {
            block.words[0][Block::slot(lane)] = code[0];
            block.words[1][Block::slot(lane)] = code[1];
            block.entries[lane] = entry;
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
        limit in 0..=129u8,
    ) {
        let blocks = blocks_of(&minutiae);
        let queries: Vec<Query> = codes.iter().map(|&(code, a, b)| {
            let bound = |n: u16| u32::from(n) % (minutiae.len() as u32 + 1);
            Query { code, low: bound(a).min(bound(b)), high: bound(a).max(bound(b)) }
        }).collect();
        for isa in Isa::available() {
            let mut hits = Hits::default();
            near(isa, &blocks, &queries, limit, &mut hits);
            for (index, query) in queries.iter().enumerate() {
                let lane = hits.lane(index);
                let found: Vec<_> = lane.distances().iter().copied().zip(lane.entries().iter().copied()).collect();
                prop_assert_eq!(found, oracle(&minutiae, query, limit), "{}, query {}", isa, index);
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
            near(isa, &blocks, &vec![query; count], 129, &mut hits);
            for index in 0..count {
                assert_eq!(hits.lane(index).distances().len(), LANE_MAX, "{isa}");
                assert!(hits.lane(index).entries().iter().enumerate().all(|(i, &entry)| entry == i as u8), "{isa}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "a window ends beyond the blocks")]
fn a_window_beyond_the_blocks_is_refused() {
    let query = Query { code: [0, 0], low: 0, high: 65 };
    near(Isa::PORTABLE, &[Block::zeroed()], &[query], 10, &mut Hits::default());
}

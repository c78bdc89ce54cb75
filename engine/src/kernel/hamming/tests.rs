//! Every instruction set against the definition.

use proptest::prelude::*;

use super::*;

type Minutia = ([u64; 2], u8);

/// The definition, from `(code, entry)` in order.
fn oracle(minutiae: &[Minutia], prefix: u64, windows: &[Window], limit: u8) -> Vec<u32> {
    let near = |place: &u32| (minutiae[*place as usize].0[0] ^ prefix).count_ones() < u32::from(limit);
    windows.iter().flat_map(|&(low, high)| low..high).filter(near).collect()
}

fn blocks_of(minutiae: &[Minutia]) -> Vec<Block> {
    let chunk = |chunk: &[Minutia]| {
        let mut block = Block::zeroed();
        for (place, &(code, entry)) in chunk.iter().enumerate() {
            block.set(place, code, entry);
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
    fn every_instruction_set_finds_and_weighs_what_the_definition_does(
        minutiae in prop::collection::vec(([word(), word()], any::<u8>()), 0..400),
        code in [word(), word()],
        bounds in prop::collection::vec((any::<u16>(), any::<u16>()), 0..6),
        limit in 0..=65u8,
        weights in any::<[u8; 32]>().prop_map(|seed| std::array::from_fn::<u8, 256, _>(|d| seed[d % 32])),
    ) {
        let blocks = blocks_of(&minutiae);
        let bound = |n: u16| u32::from(n) % (minutiae.len() as u32 + 1);
        let windows: Vec<Window> = bounds.iter().map(|&(a, b)| (bound(a).min(bound(b)), bound(a).max(bound(b)))).collect();
        let expected = oracle(&minutiae, code[0], &windows, limit);
        let mut most = [0u16; ENTRIES];
        for &place in &expected {
            let ([first, rest], entry) = minutiae[place as usize];
            let distance = (first ^ code[0]).count_ones() + (rest ^ code[1]).count_ones();
            let most = &mut most[usize::from(entry)];
            *most = (*most).max(u16::from(weights[distance as usize]));
        }
        for isa in Isa::available() {
            let mut hits = Hits::default();
            near(isa, &blocks, code[0], &windows, limit, &mut hits);
            prop_assert_eq!(hits.minutiae().collect::<Vec<_>>(), &expected[..], "{}", isa);
            let (mut best, mut scores) = ([0; ENTRIES], [1; ENTRIES]);
            weigh(isa, &blocks, code[1], &hits, &weights, &mut best);
            settle(isa, &mut best, &mut scores);
            prop_assert_eq!(scores, most.map(|most| most + 1), "{}", isa);
            prop_assert_eq!(best, [0; ENTRIES]);
        }
    }
}

#[test]
fn there_is_room_for_every_minutia_of_the_longest_call() {
    let minutiae: Vec<Minutia> = (0..HITS_MAX).map(|i| ([i as u64, 0], i as u8)).collect();
    let blocks = blocks_of(&minutiae);
    let windows = [(0, HITS_MAX as u32)];
    for isa in Isa::available() {
        let mut hits = Hits::default();
        near(isa, &blocks, 0, &windows, 65, &mut hits);
        assert_eq!(hits.minutiae().collect::<Vec<_>>(), oracle(&minutiae, 0, &windows, 65), "{isa}");
    }
}

#[test]
fn blocks_touched_are_counted() {
    let counts = [(0, 0), (5, 5), (0, 1), (63, 64), (63, 65), (64, 128), (1, 129), (9, 3)].map(blocks_touched);
    assert_eq!(counts, [0, 0, 1, 1, 2, 1, 3, 0]);
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn a_window_beyond_the_blocks_is_refused() {
    near(Isa::PORTABLE, &[Block::zeroed()], 0, &[(0, 65)], 10, &mut Hits::default());
}

#[test]
#[should_panic(expected = "parts fit into the hits")]
fn windows_that_touch_too_many_blocks_are_refused() {
    let blocks = vec![Block::zeroed(); 200];
    near(Isa::PORTABLE, &blocks, 0, &[(0, 200 * 64)], 10, &mut Hits::default());
}

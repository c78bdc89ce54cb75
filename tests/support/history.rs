//! What clients saw of a run, and whether one order of all checks explains it: the order of their positions.

use std::collections::BTreeMap;

use duynhat_engine::template::Outcome;
use duynhat_server::service::CheckDocument;

/// One check as its client saw it. Moments are ticks of one counter of the client side, taken before the request was sent
/// for the first time and after the answer had arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who stood there.
    pub person: u64,
    /// Before the first request.
    pub asked: u64,
    /// After the answer.
    pub answered: u64,
    /// The answer.
    pub document: CheckDocument,
}

/// What a single station says when strangers never resemble each other and people always themselves: the first check of a
/// person is clear, every later one a duplicate of exactly those before it.
pub fn plain(_position: u64, _person: u64, before: &[u64]) -> (Outcome, Vec<u64>) {
    (if before.is_empty() { Outcome::Clear } else { Outcome::Duplicate }, before.to_vec())
}

/// Explains a history by the order of positions.
///
/// - No position is given twice.
/// - Real time: whoever was answered before another one asked has the lower position.
/// - Each answer is the one that a single station would have given, serving one check after the other in the order of
///   positions. What that would have been `alone` says, given a position, the person and the positions of the person before
///   it: the decision and the candidates' positions, ascending.
///
/// `earlier` are submissions in the log whose clients got no answer, as (position, person).
///
/// # Errors
/// The first thing that no order explains.
pub fn explain(
    seen: &[Seen],
    earlier: &[(u64, u64)],
    alone: impl Fn(u64, u64, &[u64]) -> (Outcome, Vec<u64>),
) -> Result<(), String> {
    let mut by_position: BTreeMap<u64, (u64, Option<&Seen>)> =
        earlier.iter().map(|(position, person)| (*position, (*person, None))).collect();
    for one in seen {
        let before = by_position.insert(one.document.position, (one.person, Some(one)));
        if before.is_some() {
            return Err(format!("position {} was given twice", one.document.position));
        }
    }
    let mut by_asked: Vec<&Seen> = seen.iter().collect();
    by_asked.sort_by_key(|one| one.asked);
    let mut by_answered = by_asked.clone();
    by_answered.sort_by_key(|one| one.answered);
    let (mut answered, mut latest) = (by_answered.into_iter().peekable(), 0);
    for one in by_asked {
        while let Some(before) = answered.next_if(|a| a.answered < one.asked) {
            latest = latest.max(before.document.position);
        }
        if one.document.position <= latest {
            let (code, position) = (&one.document.application, one.document.position);
            return Err(format!("{code} asked after position {latest} was answered, and got {position}"));
        }
    }
    let mut people: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (position, (person, one)) in by_position {
        let before = people.entry(person).or_default();
        if let Some(one) = one {
            let mut candidates: Vec<u64> = one.document.candidates.iter().map(|c| c.position).collect();
            candidates.sort_unstable();
            let (expected, others) = alone(position, person, before);
            if one.document.decision != Some(expected) || candidates != others {
                return Err(format!(
                    "person {person} at {position}: {:?} with candidates at {candidates:?}; a single station would \
                     have said {expected:?} with {others:?}",
                    one.document.decision
                ));
            }
        }
        before.push(position);
    }
    Ok(())
}

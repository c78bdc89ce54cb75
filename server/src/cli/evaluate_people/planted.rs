//! Frauds and innocents, asked of the service as a station would.
//!
//! Each applicant asks as a station lets them: a capture that the gates send back is made again, twice at most; who
//! has not got past the gates then is refused. Every application is withdrawn once it is answered, so that the gallery
//! stays what it was and no fraud is found by another one's traces.

use std::sync::Arc;
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, frauds};
use duynhat_engine::template::{Biometrics, FingerPosition, FingerRule, LegalReason, MissingReason, Outcome, Purpose};

use super::population::Population;
use super::searches::STRANGERS;
use crate::cli::demo::scenario::identity;
use crate::service::{CheckDocument, Identity, Service, ServiceError, Submission};

/// Captures before an applicant is refused.
const ATTEMPTS: u64 = 3;
/// Applicants at a time.
const TOGETHER: usize = 8;
/// As long as it takes.
const WAIT: Duration = Duration::from_secs(600);

/// What an applicant tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing: a newcomer's first card, a newcomer's account, a holder's exchange or re-issue.
    Innocent(Purpose),
    /// Somebody enrolled asks for a first card under another number.
    SecondIdentity,
    /// Somebody enrolled comes with a stranger's face: for another identity, or to put that face on the own card.
    PhotoSwap,
    /// A hand is an accomplice's: of somebody enrolled who hides, or lent to a stranger who claims the record.
    FingerSwap,
    /// Left and right exchanged, half of them with a stranger's face.
    HandsSwapped,
    /// Fingers said to be missing that are not, half of them with a stranger's face.
    ExceptionsAbused,
    /// Templates made to resemble everybody's: for a first card, or on a claimed record.
    Wolf,
    /// A stranger's fingers and a face between two: the stranger's own and that of somebody enrolled.
    Morph,
}

/// The frauds.
pub const FRAUDS: [Kind; 7] = [
    Kind::SecondIdentity,
    Kind::PhotoSwap,
    Kind::FingerSwap,
    Kind::HandsSwapped,
    Kind::ExceptionsAbused,
    Kind::Wolf,
    Kind::Morph,
];

impl Kind {
    /// Stable word.
    pub fn word(self) -> String {
        match self {
            Self::Innocent(purpose) => format!("innocent_{}", purpose.as_str()),
            Self::SecondIdentity => "second_identity".into(),
            Self::PhotoSwap => "photo_swap".into(),
            Self::FingerSwap => "finger_swap".into(),
            Self::HandsSwapped => "hands_swapped".into(),
            Self::ExceptionsAbused => "exceptions_abused".into(),
            Self::Wolf => "wolf".into(),
            Self::Morph => "morph".into(),
        }
    }

    /// A number of its own, so that each kind meets other people.
    fn number(self) -> u64 {
        match self {
            Self::Innocent(purpose) => 16 + Purpose::ALL.iter().position(|p| *p == purpose).unwrap_or(0) as u64,
            _ => FRAUDS.iter().position(|k| *k == self).unwrap_or(0) as u64,
        }
    }
}

/// What came of an applicant.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// The last decision; `None` when the service refused the request.
    pub decision: Option<Outcome>,
    /// Codes of the last answer's reasons.
    pub reasons: Vec<String>,
    /// Whether the last capture still did not pass the gates.
    pub refused: bool,
}

impl Outcomes {
    /// Duplicate, mismatch, review or refused.
    pub fn caught(&self) -> bool {
        self.refused || matches!(self.decision, None | Some(Outcome::Duplicate | Outcome::Mismatch | Outcome::Review))
    }

    /// One word.
    pub fn word(&self) -> &'static str {
        match self.decision {
            _ if self.refused => "refused",
            None => "refused",
            Some(outcome) => outcome.as_str(),
        }
    }
}

/// Lets `count` applicants of a kind ask, in order of their number.
///
/// # Errors
/// The service could not answer.
pub fn play(population: &Population, kind: Kind, count: u64, done: &impl Fn()) -> anyhow::Result<Vec<Outcomes>> {
    // Wolves of one layout resemble each other: one at a time, so that none is found by another.
    let together = if kind == Kind::Wolf { 1 } else { TOGETHER };
    let numbers: Vec<u64> = (0..count).collect();
    let mut all = Vec::with_capacity(numbers.len());
    for group in numbers.chunks(together) {
        let mut tasks = Vec::new();
        for &n in group {
            let applicant = Applicant {
                service: population.service().clone(),
                people: population.people.clone(),
                enrolled: population.count,
                kind,
                n,
            };
            tasks.push(population.spawn(applicant.apply()));
        }
        for task in tasks {
            all.push(population.block_on(task)??);
            done();
        }
    }
    Ok(all)
}

#[derive(Clone)]
struct Applicant {
    service: Arc<Service>,
    people: Arc<People>,
    enrolled: u64,
    kind: Kind,
    n: u64,
}

impl Applicant {
    async fn apply(self) -> anyhow::Result<Outcomes> {
        let mut last = Outcomes { decision: None, reasons: Vec::new(), refused: true };
        for attempt in 0..ATTEMPTS {
            let maker = self.clone();
            let submission = tokio::task::spawn_blocking(move || maker.submission(attempt)).await?;
            let application = submission.application.clone();
            let document = match self.service.check(submission, WAIT).await {
                Ok(document) => document,
                Err(ServiceError::Unusable(_) | ServiceError::State(_)) => return Ok(last),
                Err(error) => return Err(error.into()),
            };
            last = outcomes(&document);
            if document.decision != Some(Outcome::Recapture) {
                self.service.withdraw(&application).await?;
                return Ok(last);
            }
        }
        last.refused = true;
        Ok(last)
    }

    /// Somebody enrolled: each kind and number another one, as far as there are so many.
    fn enrolled(&self, other: u64) -> u64 {
        (self.n * 101 + self.kind.number() * 7 + other * 1009) % self.enrolled
    }

    /// Somebody who is not; the first billion are the searches' own.
    fn stranger(&self, other: u64) -> u64 {
        STRANGERS + 1_000_000_000 * (1 + self.kind.number()) + 4 * self.n + other
    }

    fn submission(&self, attempt: u64) -> Submission {
        let (n, shot, people) = (self.n, attempt + 1, &self.people);
        let (victim, stranger) = (self.enrolled(0), self.stranger(0));
        let own = EncounterSettings::default();
        let face_of = |index: u64| people.person(index).encounter(shot, &own).faces;
        let odd = n % 2 == 1;
        let (biometrics, purpose, claims) = match self.kind {
            Kind::Innocent(purpose) if purpose.expects_own_record() => {
                (people.person(victim).encounter(shot, &own), purpose, Some(victim))
            }
            Kind::Innocent(purpose) => {
                // A phone has no finger scanner; stations have.
                let none = purpose.finger_rule() == FingerRule::None;
                let fingers = if none { Vec::new() } else { own.fingers.clone() };
                let settings = EncounterSettings { fingers, ..own };
                (people.person(stranger).encounter(shot, &settings), purpose, None)
            }
            Kind::SecondIdentity => {
                (frauds::second_identity(&people.person(victim), shot, &own), Purpose::CardFirstIssue, None)
            }
            Kind::PhotoSwap => {
                let b = frauds::photo_swap(&people.person(victim), &people.person(stranger), shot, &own);
                let claims = odd.then_some(victim);
                (b, if odd { Purpose::CardExchange } else { Purpose::CardFirstIssue }, claims)
            }
            Kind::FingerSwap => {
                let hand = hand(n / 2 % 2 == 1);
                let (applicant, lender) = if odd { (stranger, victim) } else { (victim, stranger) };
                let b = frauds::finger_swap(&people.person(applicant), &people.person(lender), &hand, shot, &own);
                let claims = odd.then_some(victim);
                (b, if odd { Purpose::CardExchange } else { Purpose::CardFirstIssue }, claims)
            }
            Kind::HandsSwapped => {
                let mut b = frauds::hands_swapped(&people.person(victim), shot, &own);
                if odd {
                    b.faces = face_of(stranger);
                }
                (b, Purpose::CardFirstIssue, None)
            }
            Kind::ExceptionsAbused => {
                let count = [8u64, 6, 4, 2, 0][(n / 2 % 5) as usize];
                // Which ones are kept turns with the number.
                let kept: Vec<FingerPosition> =
                    (0..count).filter_map(|k| FingerPosition::new(((n + k) % 10) as u8 + 1)).collect();
                let reason = MissingReason::Bandaged;
                let mut b = frauds::exceptions_abused(&people.person(victim), &kept, reason, shot, &own);
                if odd {
                    b.faces = face_of(stranger);
                }
                (b, Purpose::CardFirstIssue, None)
            }
            Kind::Wolf => {
                let layout = frauds::Wolf::ALL[(n / 4 % 4) as usize];
                let crew: Vec<_> = (1..7).map(|k| people.person(self.enrolled(k))).collect();
                let print = |p| frauds::wolf(layout, p, 1000 * n + attempt, &crew);
                // A quarter also show the face of whom they claim to be.
                let faces = face_of(if n % 4 == 3 { victim } else { stranger });
                let b =
                    Biometrics { fingers: FingerPosition::known().map(print).collect(), faces, missing: Vec::new() };
                let claims = odd.then_some(victim);
                (b, if odd { Purpose::CardExchange } else { Purpose::CardFirstIssue }, claims)
            }
            Kind::Morph => {
                let mut b = people.person(stranger).encounter(shot, &own);
                let mixed = b.faces.first().zip(face_of(victim).first()).and_then(|(a, b)| frauds::morph(a, b, 0.5));
                b.faces = mixed.into_iter().collect();
                (b, Purpose::CardFirstIssue, None)
            }
        };
        let number = claims.is_none().then(|| identity(NUMBERS + 100_000 * self.kind.number() + n));
        Submission {
            application: format!("EVAL-{}-{n}-{attempt}", self.kind.word()),
            purpose,
            station: format!("ST-{:02}", n % 20),
            operator: format!("OP-{:02}", n % 50),
            identity: number.and_then(|number| Identity::new(&number)),
            claimed_identity: claims.and_then(|index| Identity::new(&identity(index))),
            biometrics,
            supersedes: None,
            age: None,
            legal_reason: (purpose == Purpose::CardExchange).then_some(LegalReason::Age),
            chip: Vec::new(),
        }
    }
}

/// Made-up numbers of newcomers begin here: beyond those of the enrolled.
const NUMBERS: u64 = 10_000_000;

fn hand(left: bool) -> Vec<FingerPosition> {
    FingerPosition::known().filter(|p| (p.code() > 5) == left).collect()
}

fn outcomes(document: &CheckDocument) -> Outcomes {
    Outcomes {
        decision: document.decision,
        reasons: document.reasons.iter().map(|r| r.code.clone()).collect(),
        refused: false,
    }
}

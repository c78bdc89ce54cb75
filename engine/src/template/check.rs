//! What a check is for and how it can end.

use serde::{Deserialize, Serialize};

/// Why a station asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// First chip card: nobody may be found.
    CardFirstIssue,
    /// Exchange of a card: the claimed record must be found, nobody else.
    CardExchange,
    /// Re-issue of a lost or damaged card: the claimed record must be found, nobody else.
    CardReissue,
    /// Account by phone: portrait only.
    AccountLevel1,
    /// Account at a station: portrait and fingerprints.
    AccountLevel2,
    /// A child of 6 to 13, on request.
    Child,
    /// A search that somebody authorised; leaves no reference.
    AuthorisedSearch,
}

impl Purpose {
    /// Every purpose, in the order of the API's documentation.
    pub const ALL: [Self; 7] = [
        Self::CardFirstIssue,
        Self::CardExchange,
        Self::CardReissue,
        Self::AccountLevel1,
        Self::AccountLevel2,
        Self::Child,
        Self::AuthorisedSearch,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CardFirstIssue => "card_first_issue",
            Self::CardExchange => "card_exchange",
            Self::CardReissue => "card_reissue",
            Self::AccountLevel1 => "account_level1",
            Self::AccountLevel2 => "account_level2",
            Self::Child => "child",
            Self::AuthorisedSearch => "authorised_search",
        }
    }

    /// Whether the applicant must name a record as their own.
    pub fn expects_own_record(self) -> bool {
        matches!(self, Self::CardExchange | Self::CardReissue)
    }

    /// Whether ten fingers, or a reason for each missing one, must be given.
    pub fn needs_fingers(self) -> bool {
        matches!(self, Self::CardFirstIssue | Self::CardExchange | Self::CardReissue)
    }

    /// Whether what the check submits becomes a reference.
    pub fn leaves_reference(self) -> bool {
        self != Self::AuthorisedSearch
    }
}

/// How a check was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nobody was found: a new subject.
    Clear,
    /// The claimed record was found and nobody else: one more encounter of that subject.
    Confirmed,
    /// Somebody was found who must not be there.
    Duplicate,
    /// The claimed record is somebody else's.
    Mismatch,
    /// People must look.
    Review,
    /// The capture is not good enough to decide on; the same person may come again.
    Recapture,
}

impl Outcome {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Confirmed => "confirmed",
            Self::Duplicate => "duplicate",
            Self::Mismatch => "mismatch",
            Self::Review => "review",
            Self::Recapture => "recapture",
        }
    }
}

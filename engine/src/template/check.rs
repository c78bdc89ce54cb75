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
    /// Account by phone: portrait only, with the chip's portrait or a record as the claimed reference.
    AccountLevel1,
    /// Account at a station: portrait and fingerprints.
    AccountLevel2,
    /// A child of 6 to 13, on request.
    Child,
    /// A search that somebody authorised; leaves no reference.
    AuthorisedSearch,
    /// Whether somebody enrolled is still who they are, and nobody else; leaves no reference.
    Reverification,
}

/// What a purpose says about a claimed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimRule {
    /// The applicant's own record must be named and must match.
    Required,
    /// It may be named; if it is, it must match.
    Optional,
    /// Nobody is expected.
    None,
}

/// What a purpose says about fingers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerRule {
    /// All ten, or a reason for each that is missing.
    All,
    /// Some usable ones.
    Some,
    /// As many as there are.
    Any,
    /// None are taken.
    None,
}

/// What a purpose says about the portrait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceRule {
    /// There must be one.
    Required,
    /// There may be one.
    Optional,
}

impl Purpose {
    /// Every purpose, in the order of the API's documentation.
    pub const ALL: [Self; 8] = [
        Self::CardFirstIssue,
        Self::CardExchange,
        Self::CardReissue,
        Self::AccountLevel1,
        Self::AccountLevel2,
        Self::Child,
        Self::AuthorisedSearch,
        Self::Reverification,
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
            Self::Reverification => "reverification",
        }
    }

    /// Whether a record must or may be claimed.
    pub fn claim_rule(self) -> ClaimRule {
        match self {
            Self::CardFirstIssue | Self::AuthorisedSearch => ClaimRule::None,
            Self::CardExchange | Self::CardReissue | Self::AccountLevel1 | Self::Reverification => ClaimRule::Required,
            Self::AccountLevel2 | Self::Child => ClaimRule::Optional,
        }
    }

    /// Which fingers must be given.
    pub fn finger_rule(self) -> FingerRule {
        match self {
            Self::CardFirstIssue | Self::CardExchange | Self::CardReissue => FingerRule::All,
            Self::AccountLevel2 => FingerRule::Some,
            Self::AccountLevel1 => FingerRule::None,
            Self::Child | Self::AuthorisedSearch | Self::Reverification => FingerRule::Any,
        }
    }

    /// Whether a portrait must be given.
    pub fn face_rule(self) -> FaceRule {
        match self {
            Self::AccountLevel1 | Self::AccountLevel2 => FaceRule::Required,
            _ => FaceRule::Optional,
        }
    }

    /// Whether the applicant's own record, or the chip's portrait, must be there to compare with.
    pub fn expects_own_record(self) -> bool {
        self.claim_rule() == ClaimRule::Required
    }

    /// Whether ten fingers, or a reason for each missing one, must be given.
    pub fn needs_fingers(self) -> bool {
        self.finger_rule() == FingerRule::All
    }

    /// Whether what the check submits becomes a reference.
    pub fn leaves_reference(self) -> bool {
        !matches!(self, Self::AuthorisedSearch | Self::Reverification)
    }

    /// Whether a legal reason must be given.
    pub fn needs_legal_reason(self) -> bool {
        self == Self::CardExchange
    }
}

/// Why a card is exchanged or re-issued (Law on Identification 26/2023, articles 21 and 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegalReason {
    /// The holder turned 14, 25, 40 or 60.
    Age,
    /// Name or date of birth were changed or corrected.
    DataChange,
    /// The holder looks different, or portrait or fingerprints are to be added.
    AppearanceChange,
    /// The sex was determined anew or changed.
    SexChange,
    /// The card has an error.
    CardError,
    /// Borders of administrative units were changed.
    BoundaryChange,
    /// The identity number was established anew.
    NewNumber,
    /// The holder asks for it.
    OwnRequest,
    /// The card was lost.
    Lost,
    /// The card is damaged.
    Damaged,
    /// The holder regained the nationality.
    Nationality,
}

impl LegalReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Age,
        Self::DataChange,
        Self::AppearanceChange,
        Self::SexChange,
        Self::CardError,
        Self::BoundaryChange,
        Self::NewNumber,
        Self::OwnRequest,
        Self::Lost,
        Self::Damaged,
        Self::Nationality,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::DataChange => "data_change",
            Self::AppearanceChange => "appearance_change",
            Self::SexChange => "sex_change",
            Self::CardError => "card_error",
            Self::BoundaryChange => "boundary_change",
            Self::NewNumber => "new_number",
            Self::OwnRequest => "own_request",
            Self::Lost => "lost",
            Self::Damaged => "damaged",
            Self::Nationality => "nationality",
        }
    }

    /// Whether a check of this purpose may have this reason.
    pub fn fits(self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::CardReissue => matches!(self, Self::Lost | Self::Damaged | Self::Nationality),
            Purpose::CardExchange => !matches!(self, Self::Lost | Self::Damaged | Self::Nationality),
            _ => false,
        }
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
    /// The rules don't allow this check at all.
    Refused,
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
            Self::Refused => "refused",
        }
    }
}

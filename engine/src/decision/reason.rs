//! Why a check was decided as it was, in words for the person at the counter, in English and in Vietnamese.

use super::Implausible;
use crate::finger::FeatureError;
use crate::template::{FingerPosition, Outcome};

/// A language that reasons and explanations can be had in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Vietnamese.
    Vi,
    /// English.
    #[default]
    En,
}

impl Language {
    /// `vi` or `en`.
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "vi" => Some(Self::Vi),
            "en" => Some(Self::En),
            _ => None,
        }
    }
}

/// One reason for a decision.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// A finger was neither captured nor named missing.
    NotCaptured(FingerPosition),
    /// A print cannot be enrolled.
    Unusable(FingerPosition, FeatureError),
    /// Minutiae that cannot be of one finger.
    Implausible(FingerPosition, Implausible),
    /// A print is of too low a quality.
    LowQuality {
        /// Which finger.
        finger: FingerPosition,
        /// Its quality.
        found: u8,
        /// The least that is accepted.
        least: u8,
    },
    /// A print shows too little of the finger.
    FewMinutiae {
        /// Which finger.
        finger: FingerPosition,
        /// Its minutiae.
        found: usize,
        /// The fewest that are accepted.
        least: usize,
    },
    /// A portrait is of too low a quality.
    FaceQuality {
        /// Its quality.
        found: u8,
        /// The least that is accepted.
        least: u8,
    },
    /// Fewer usable fingers than the policy asks for.
    TooFewFingers {
        /// How many there were.
        found: usize,
        /// How many there must be.
        least: usize,
    },
    /// The purpose needs a portrait.
    NoFace,
    /// Too young for biometrics.
    TooYoung {
        /// Whole years.
        age: u8,
        /// From this age on.
        least: u8,
    },
    /// Young enough that biometrics are only taken on request.
    OnRequestOnly {
        /// Whole years.
        age: u8,
        /// From this age on without a request.
        least: u8,
    },
    /// The purpose is for children, and this is none.
    NotAChild {
        /// Whole years.
        age: u8,
    },
    /// The purpose depends on the age, which was not told.
    AgeUnknown,
    /// Somebody else's record is this person's.
    FoundUnderAnotherIdentity,
    /// Somebody else's record may be this person's.
    ResemblesAnotherSubject,
    /// A score as high as a duplicate's that one source carries alone.
    OneSourceAlone,
    /// The claimed record is not this person's.
    ClaimedRecordDiffers,
    /// The claimed record is this person's by the fingers and not by the face, or the other way round.
    ClaimedSourcesDisagree,
    /// The portrait on the chip is not this person's.
    ChipPortraitDiffers,
    /// Left and right were exchanged at one of two captures of this person.
    HandsSwapped,
    /// The person resembles an entry of the list of confirmed frauds.
    OnFraudList,
    /// Nothing is enrolled under the claimed identity.
    ClaimedRecordUnknown,
    /// The purpose needs a claimed record.
    NoClaimedRecord,
    /// More fingers named missing than the policy lets pass.
    ManyFingersMissing {
        /// How many.
        missing: usize,
        /// How many may be.
        max: usize,
    },
    /// A second person let so many missing fingers pass.
    ExceptionsApproved {
        /// How many.
        missing: usize,
    },
    /// A second person did not.
    ExceptionsRefused {
        /// How many.
        missing: usize,
    },
    /// The search met more candidates than it could compare.
    TooManyCandidates,
    /// The declared number is another person's.
    IdentityInUse,
    /// This person is known under another number.
    PersonHasAnotherNumber,
    /// This person is enrolled under this very number already.
    AlreadyEnrolled,
    /// Declared and claimed number differ, and no reason given explains it.
    NumbersDiffer,
}

impl Reason {
    /// Stable code for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCaptured(_) => "finger_not_captured",
            Self::Unusable(..) => "finger_unusable",
            Self::Implausible(..) => "finger_implausible",
            Self::LowQuality { .. } => "finger_low_quality",
            Self::FewMinutiae { .. } => "finger_few_minutiae",
            Self::FaceQuality { .. } => "face_low_quality",
            Self::TooFewFingers { .. } => "too_few_fingers",
            Self::NoFace => "no_face",
            Self::TooYoung { .. } => "too_young",
            Self::OnRequestOnly { .. } => "on_request_only",
            Self::NotAChild { .. } => "not_a_child",
            Self::AgeUnknown => "age_unknown",
            Self::FoundUnderAnotherIdentity => "found_under_another_identity",
            Self::ResemblesAnotherSubject => "resembles_another_subject",
            Self::OneSourceAlone => "one_source_alone",
            Self::ClaimedRecordDiffers => "claimed_record_differs",
            Self::ClaimedSourcesDisagree => "claimed_sources_disagree",
            Self::ChipPortraitDiffers => "chip_portrait_differs",
            Self::HandsSwapped => "hands_swapped",
            Self::OnFraudList => "on_fraud_list",
            Self::ClaimedRecordUnknown => "claimed_record_unknown",
            Self::NoClaimedRecord => "no_claimed_record",
            Self::ManyFingersMissing { .. } => "many_fingers_missing",
            Self::ExceptionsApproved { .. } => "exceptions_approved",
            Self::ExceptionsRefused { .. } => "exceptions_refused",
            Self::TooManyCandidates => "too_many_candidates",
            Self::IdentityInUse => "identity_in_use",
            Self::PersonHasAnotherNumber => "person_has_another_number",
            Self::AlreadyEnrolled => "already_enrolled",
            Self::NumbersDiffer => "numbers_differ",
        }
    }

    /// The finger it is about.
    pub fn finger(&self) -> Option<FingerPosition> {
        match self {
            Self::NotCaptured(position) | Self::Unusable(position, _) | Self::Implausible(position, _) => {
                Some(*position)
            }
            Self::LowQuality { finger, .. } | Self::FewMinutiae { finger, .. } => Some(*finger),
            _ => None,
        }
    }

    /// What it makes of the decision; `None` when it only explains.
    pub fn finding(&self) -> Option<Outcome> {
        Some(match self {
            Self::NotCaptured(_)
            | Self::Unusable(..)
            | Self::Implausible(..)
            | Self::LowQuality { .. }
            | Self::FewMinutiae { .. }
            | Self::FaceQuality { .. }
            | Self::TooFewFingers { .. }
            | Self::NoFace => Outcome::Recapture,
            Self::TooYoung { .. } | Self::OnRequestOnly { .. } | Self::NotAChild { .. } | Self::AgeUnknown => {
                Outcome::Refused
            }
            Self::FoundUnderAnotherIdentity => Outcome::Duplicate,
            Self::ClaimedRecordDiffers | Self::ChipPortraitDiffers => Outcome::Mismatch,
            Self::ResemblesAnotherSubject
            | Self::ClaimedSourcesDisagree
            | Self::HandsSwapped
            | Self::OnFraudList
            | Self::ClaimedRecordUnknown
            | Self::NoClaimedRecord
            | Self::ManyFingersMissing { .. }
            | Self::ExceptionsRefused { .. }
            | Self::TooManyCandidates
            | Self::IdentityInUse
            | Self::NumbersDiffer => Outcome::Review,
            Self::OneSourceAlone
            | Self::ExceptionsApproved { .. }
            | Self::PersonHasAnotherNumber
            | Self::AlreadyEnrolled => return None,
        })
    }

    /// A sentence for the operator.
    pub fn text(&self, language: Language) -> String {
        match language {
            Language::En => self.english(),
            Language::Vi => self.vietnamese(),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::NotCaptured(p) => format!("{p}: neither captured nor named missing; capture it or give a reason"),
            Self::Unusable(p, error) => format!("{p}: {error}; capture it again"),
            Self::Implausible(p, why) => format!("{p}: {}; look at the sensor and capture it again", why.text()),
            Self::LowQuality { finger, found, least } => {
                format!("{finger}: quality {found}, at least {least} is needed; clean finger and sensor, capture again")
            }
            Self::FewMinutiae { finger, found, least } => {
                format!("{finger}: {found} minutiae, at least {least} are needed; capture more of the finger")
            }
            Self::FaceQuality { found, least } => {
                format!("portrait: quality {found}, at least {least} is needed; take it again in even light")
            }
            Self::TooFewFingers { found, least } => {
                format!("{found} usable fingers; at least {least} must be captured")
            }
            Self::NoFace => "a portrait is needed".into(),
            Self::TooYoung { age, least } => format!("the applicant is {age}; biometrics are taken from {least} on"),
            Self::OnRequestOnly { age, least } => {
                format!("the applicant is {age}; under {least}, biometrics are taken only on request (purpose child)")
            }
            Self::NotAChild { age } => format!("the applicant is {age}: the purpose child is for children"),
            Self::AgeUnknown => "the purpose child needs the date of birth".into(),
            Self::FoundUnderAnotherIdentity => "the person is already enrolled as another subject".into(),
            Self::ResemblesAnotherSubject => "the person resembles another subject; people must look".into(),
            Self::OneSourceAlone => {
                "one source alone carries the resemblance, which is never enough to call it a duplicate".into()
            }
            Self::ClaimedRecordDiffers => "the claimed record is not this person's".into(),
            Self::ClaimedSourcesDisagree => {
                "of the claimed record and this person, fingers and face say different things; people must look".into()
            }
            Self::ChipPortraitDiffers => "the portrait on the chip is not this person's".into(),
            Self::HandsSwapped => "left and right hand were exchanged at one of the two captures".into(),
            Self::OnFraudList => "the person resembles an entry of the list of confirmed frauds".into(),
            Self::ClaimedRecordUnknown => "no reference is enrolled for the claimed identity".into(),
            Self::NoClaimedRecord => "this purpose needs the applicant's own record to be named".into(),
            Self::ManyFingersMissing { missing, max } => {
                format!("{missing} fingers are named missing; more than {max} need a second person's approval")
            }
            Self::ExceptionsApproved { missing } => {
                format!("{missing} fingers are missing; a second person approved that")
            }
            Self::ExceptionsRefused { missing } => {
                format!("{missing} fingers are missing; a second person did not approve that")
            }
            Self::TooManyCandidates => "more people look alike than could be compared; people must look".into(),
            Self::IdentityInUse => "the declared identity number belongs to another person".into(),
            Self::PersonHasAnotherNumber => "this person is known under another identity number".into(),
            Self::AlreadyEnrolled => "this person is already enrolled under this identity number".into(),
            Self::NumbersDiffer => {
                "the declared identity number differs from the claimed record's, and the legal reason does not explain it"
                    .into()
            }
        }
    }

    fn vietnamese(&self) -> String {
        match self {
            Self::NotCaptured(p) => {
                format!("{}: chưa thu nhận và chưa ghi lý do thiếu; hãy thu nhận hoặc nêu lý do", p.name_vi())
            }
            Self::Unusable(p, error) => {
                let why = match error {
                    FeatureError::TooFew { .. } => "quá ít đặc điểm vân tay",
                    FeatureError::OnePlace => "các đặc điểm dồn vào một chỗ",
                    FeatureError::Crowded { .. } => "các đặc điểm chồng lên nhau, không giống vân tay thật",
                    FeatureError::Lattice => "các đặc điểm xếp thành lưới đều, không giống vân tay thật",
                };
                format!("{}: {why}; hãy thu nhận lại", p.name_vi())
            }
            Self::Implausible(p, why) => {
                let why = match why {
                    Implausible::Crowded => "có nhiều đặc điểm hơn mức một ngón tay có thể có",
                    Implausible::Piled => "nhiều đặc điểm nằm chồng tại một chỗ",
                    Implausible::Incoherent => "hướng của các đặc điểm cạnh nhau không theo đường vân nào",
                };
                format!("{}: {why}; kiểm tra cảm biến và thu nhận lại", p.name_vi())
            }
            Self::LowQuality { finger, found, least } => format!(
                "{}: chất lượng {found}, cần ít nhất {least}; hãy lau sạch ngón tay và đầu đọc rồi thu nhận lại",
                finger.name_vi()
            ),
            Self::FewMinutiae { finger, found, least } => format!(
                "{}: {found} đặc điểm, cần ít nhất {least}; hãy thu nhận phần vân tay rộng hơn",
                finger.name_vi()
            ),
            Self::FaceQuality { found, least } => {
                format!("ảnh chân dung: chất lượng {found}, cần ít nhất {least}; hãy chụp lại với ánh sáng đều")
            }
            Self::TooFewFingers { found, least } => {
                format!("có {found} ngón tay dùng được; phải thu nhận ít nhất {least} ngón")
            }
            Self::NoFace => "cần có ảnh chân dung".into(),
            Self::TooYoung { age, least } => {
                format!("người đề nghị {age} tuổi; chỉ thu nhận sinh trắc học từ {least} tuổi trở lên")
            }
            Self::OnRequestOnly { age, least } => format!(
                "người đề nghị {age} tuổi; dưới {least} tuổi chỉ thu nhận sinh trắc học khi có yêu cầu (mục đích child)"
            ),
            Self::NotAChild { age } => format!("người đề nghị {age} tuổi: mục đích child chỉ dành cho trẻ em"),
            Self::AgeUnknown => "mục đích child cần ngày sinh của người đề nghị".into(),
            Self::FoundUnderAnotherIdentity => "người này đã có hồ sơ sinh trắc học dưới một danh tính khác".into(),
            Self::ResemblesAnotherSubject => "người này giống một người khác đã có hồ sơ; cần cán bộ xem xét".into(),
            Self::OneSourceAlone => {
                "chỉ một nguồn sinh trắc học cho thấy sự giống nhau, chưa đủ để kết luận là trùng".into()
            }
            Self::ClaimedRecordDiffers => "hồ sơ đã khai không phải của người này".into(),
            Self::ClaimedSourcesDisagree => {
                "vân tay và khuôn mặt cho kết quả trái ngược khi so với hồ sơ đã khai; cần cán bộ xem xét".into()
            }
            Self::ChipPortraitDiffers => "ảnh chân dung trong chip không phải của người này".into(),
            Self::HandsSwapped => "tay trái và tay phải đã bị đổi chỗ ở một trong hai lần thu nhận".into(),
            Self::OnFraudList => "người này giống một mục trong danh sách gian lận đã xác nhận".into(),
            Self::ClaimedRecordUnknown => "chưa có dữ liệu sinh trắc học nào của danh tính đã khai".into(),
            Self::NoClaimedRecord => "mục đích này cần nêu hồ sơ của chính người đề nghị".into(),
            Self::ManyFingersMissing { missing, max } => {
                format!("khai thiếu {missing} ngón tay; thiếu quá {max} ngón cần người thứ hai phê duyệt")
            }
            Self::ExceptionsApproved { missing } => format!("thiếu {missing} ngón tay; người thứ hai đã phê duyệt"),
            Self::ExceptionsRefused { missing } => format!("thiếu {missing} ngón tay; người thứ hai không phê duyệt"),
            Self::TooManyCandidates => "có nhiều người giống hơn mức so sánh được; cần cán bộ xem xét".into(),
            Self::IdentityInUse => "số định danh đã khai thuộc về người khác".into(),
            Self::PersonHasAnotherNumber => "người này đã có hồ sơ dưới một số định danh khác".into(),
            Self::AlreadyEnrolled => "người này đã có hồ sơ dưới chính số định danh này".into(),
            Self::NumbersDiffer => {
                "số định danh đã khai khác với số của hồ sơ được nêu, và lý do đổi thẻ không giải thích điều đó".into()
            }
        }
    }
}

//! Why a check was decided as it was, in words that can be read aloud at the counter. Made from the answer alone, so that
//! it can be told years later from the log.

use std::fmt::Write as _;

use duynhat_engine::decision::Language;
use duynhat_engine::template::{FingerPosition, Outcome, Purpose};

use super::{CandidateDocument, CheckDocument, CheckStatus, DecisionBasis, SourceDocument, ThresholdsDocument};

/// The answer in words.
pub fn explain(document: &CheckDocument, language: Language) -> String {
    let mut teller = Teller { language, out: String::new() };
    teller.whole(document);
    teller.out
}

struct Teller {
    language: Language,
    out: String,
}

impl Teller {
    /// The sentence in the language that is wanted.
    fn say<'t>(&self, english: &'t str, vietnamese: &'t str) -> &'t str {
        match self.language {
            Language::En => english,
            Language::Vi => vietnamese,
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn whole(&mut self, d: &CheckDocument) {
        let what = d.purpose.map(|p| format!(" ({})", self.purpose(p))).unwrap_or_default();
        let head = format!("{} {}{what}", self.say("Application", "Hồ sơ"), d.application);
        self.line(&head);
        if d.status == CheckStatus::Withdrawn {
            let text = self.say(
                "It was withdrawn: it leaves no record. What was decided before is told below.",
                "Hồ sơ đã được rút, không để lại dữ liệu. Dưới đây là kết quả đã có trước khi rút.",
            );
            self.line(text);
        }
        let Some(decision) = d.decision else {
            let text = self.say(
                "It is safely written down and waits for its decision. Ask again in a moment.",
                "Hồ sơ đã được ghi nhận an toàn và đang chờ kết quả. Vui lòng hỏi lại sau giây lát.",
            );
            self.line(text);
            return;
        };
        let text = format!("{}: {}", self.say("Decision", "Kết quả"), self.outcome(decision));
        self.line(&text);
        let text = format!("{}: {}", self.say("What to do", "Việc cần làm"), self.advice(decision, d));
        self.line(&text);
        self.reasons(d);
        if let Some(basis) = &d.basis {
            self.compared(d, basis);
            for (at, candidate) in d.candidates.iter().enumerate() {
                self.candidate(at + 1, candidate);
            }
            self.chip(d);
            self.limits(basis);
            self.versions(d, basis);
        }
    }

    fn reasons(&mut self, d: &CheckDocument) {
        if d.reasons.is_empty() {
            return;
        }
        let head = format!("\n{}:", self.say("Why", "Lý do"));
        self.line(&head);
        for reason in &d.reasons {
            let text = match self.language {
                Language::En => &reason.text,
                Language::Vi => &reason.text_vi,
            };
            let text = format!("  - {}.", capital(text));
            self.line(&text);
        }
    }

    fn compared(&mut self, d: &CheckDocument, basis: &DecisionBasis) {
        let n = self.records(basis.gallery_size);
        let text = match self.language {
            Language::En => format!(
                "\nCompared with: {n}, all that were enrolled before this application (log position {}).",
                d.position
            ),
            Language::Vi => format!(
                "\nĐã so sánh với: {n}, tức là tất cả những bản ghi có trước hồ sơ này (vị trí nhật ký {}).",
                d.position
            ),
        };
        self.line(&text);
        if basis.faces_not_comparable > 0 {
            let n = self.number(basis.faces_not_comparable);
            let text = match self.language {
                Language::En => format!("The portraits of {n} records were made by another program and not compared."),
                Language::Vi => format!("Ảnh của {n} bản ghi do phần mềm khác tạo ra nên không so sánh được."),
            };
            self.line(&text);
        }
        if d.candidates.is_empty() {
            let text = self.say(
                "Nobody among them is enough like the applicant to be looked at.",
                "Không có ai trong số đó giống người đề nghị đến mức cần xem xét.",
            );
            self.line(text);
        }
    }

    fn candidate(&mut self, number: usize, c: &CandidateDocument) {
        let kind = if c.claimed {
            self.say("the claimed record", "hồ sơ đã khai")
        } else {
            // Whose it is, is what the decision says.
            self.say("under another identity", "thuộc danh tính khác")
        };
        let head = match self.language {
            Language::En => {
                format!(
                    "\n{number}. Record {} ({kind}, log position {}): score {}",
                    c.subject,
                    c.position,
                    self.score(c.score)
                )
            }
            Language::Vi => format!(
                "\n{number}. Bản ghi {} ({kind}, vị trí nhật ký {}): điểm {}",
                c.subject,
                c.position,
                self.score(c.score)
            ),
        };
        self.line(&head);
        let odds = self.odds(c.score);
        self.line(&format!("   {odds}"));
        let head = format!("   {}:", self.say("Each source's contribution", "Đóng góp của từng nguồn"));
        self.line(&head);
        let width = c.sources.iter().map(|s| self.source(s).chars().count()).max().unwrap_or(0).max(12);
        for source in &c.sources {
            let name = self.source(source);
            let pad = " ".repeat(width - name.chars().count());
            let says = if left_out(c, source) {
                self.say(
                    "not counted: it disagrees, and may not hide what the rest shows",
                    "không tính: trái ngược, nhưng không được che lấp phần còn lại",
                )
            } else {
                self.verdict_of(source.llr)
            };
            let text = format!("     {name}{pad}  {:>7}  {says}", self.score(source.llr));
            self.line(&text);
        }
        let total = self.say("total", "tổng cộng");
        let pad = " ".repeat(width - total.chars().count());
        let text = format!("     {total}{pad}  {:>7}", self.score(c.score));
        self.line(&text);
        if let Some(t) = &c.thresholds {
            self.placed(c, t);
        }
    }

    fn placed(&mut self, c: &CandidateDocument, t: &ThresholdsDocument) {
        let (score, claim) = (self.score(c.score), self.score(t.claim));
        if c.claimed {
            let reached = c.score >= t.claim;
            let text = match (self.language, reached) {
                (Language::En, true) => {
                    format!("   The claimed record is taken for the applicant's from {claim} on. {score} reaches it.")
                }
                (Language::En, false) => {
                    format!(
                        "   The claimed record is taken for the applicant's from {claim} on. {score} does not reach it."
                    )
                }
                (Language::Vi, true) => {
                    format!("   Hồ sơ đã khai được coi là của người đề nghị từ mức {claim}. Điểm {score} đạt mức này.")
                }
                (Language::Vi, false) => {
                    format!(
                        "   Hồ sơ đã khai được coi là của người đề nghị từ mức {claim}. Điểm {score} không đạt mức này."
                    )
                }
            };
            self.line(&text);
            return;
        }
        let (review, duplicate) = (self.score(t.review), self.score(t.duplicate));
        let text = match self.language {
            Language::En => format!("   Review from {review} on, duplicate from {duplicate} on."),
            Language::Vi => format!("   Cần xem xét từ mức {review}, trùng từ mức {duplicate}."),
        };
        self.line(&text);
        let strongest = c.sources.iter().map(|s| s.llr).fold(0.0f32, f32::max);
        let rest = self.score(((c.score - strongest) * 100.0).round() / 100.0);
        let text = match (self.language, c.band.as_deref()) {
            (Language::En, Some("duplicate")) => format!(
                "   It reaches the duplicate threshold, and without its strongest source {rest} is left: more than one \
                 source says so."
            ),
            (Language::Vi, Some("duplicate")) => {
                format!(
                    "   Điểm đạt mức trùng, và khi bỏ nguồn mạnh nhất vẫn còn {rest}: không chỉ một nguồn cho thấy điều đó."
                )
            }
            (Language::En, _) if c.score >= t.duplicate => format!(
                "   It reaches the duplicate threshold, but without its strongest source only {rest} is left. One source \
                 alone never makes a duplicate: an officer must look."
            ),
            (Language::Vi, _) if c.score >= t.duplicate => format!(
                "   Điểm đạt mức trùng, nhưng khi bỏ nguồn mạnh nhất chỉ còn {rest}. Một nguồn riêng lẻ không đủ để kết luận \
                 là trùng: cần cán bộ xem xét."
            ),
            (Language::En, _) => {
                "   It lies between the two: too much alike to let pass, too little to be sure.".into()
            }
            (Language::Vi, _) => "   Điểm nằm giữa hai mức: quá giống để bỏ qua, chưa đủ để chắc chắn.".into(),
        };
        self.line(&text);
    }

    fn chip(&mut self, d: &CheckDocument) {
        let Some(chip) = &d.chip else { return };
        let (score, threshold) = (self.score(chip.score), self.score(chip.threshold));
        let text = match (self.language, chip.verified) {
            (Language::En, true) => format!(
                "\nThe live portrait is that of the chip: score {score}, needed {threshold}. {}",
                self.odds(chip.score)
            ),
            (Language::En, false) => {
                format!("\nThe live portrait is not that of the chip: score {score}, needed {threshold}.")
            }
            (Language::Vi, true) => {
                format!("\nẢnh chụp trùng với ảnh trong chip: điểm {score}, cần {threshold}. {}", self.odds(chip.score))
            }
            (Language::Vi, false) => {
                format!("\nẢnh chụp không trùng với ảnh trong chip: điểm {score}, cần {threshold}.")
            }
        };
        self.line(&text);
    }

    fn limits(&mut self, b: &DecisionBasis) {
        let n = self.records(b.gallery_size);
        let (duplicate, review) = (self.one_in(b.duplicate_fpir), self.one_in(b.review_fpir));
        let claim = self.one_in(b.claim_fmr);
        let (d, r, c) =
            (self.score(b.duplicate_threshold), self.score(b.review_threshold), self.score(b.claim_threshold));
        let text = match self.language {
            Language::En => format!(
                "\nThe thresholds: among {n}, at most one search in {duplicate} may call an innocent person a \
                 duplicate, and at most one in {review} may send one to review. For everything this capture holds that \
                 means {d} and {r}. When a record is claimed, at most one comparison in {claim} may take somebody \
                 else's record for the applicant's, which means {c}. The more records there are, the higher the first two."
            ),
            Language::Vi => format!(
                "\nCác mức: với {n}, nhiều nhất một trong {duplicate} lần tra cứu được phép kết luận nhầm là trùng, \
                 và nhiều nhất một trong {review} lần được phép đưa nhầm sang xem xét. Với toàn bộ dữ liệu của lần thu nhận \
                 này, hai mức đó là {d} và {r}. Khi có khai hồ sơ, nhiều nhất một trong {claim} lần so sánh được phép coi nhầm hồ sơ của \
                 người khác là của người đề nghị, tức là mức {c}. Càng nhiều bản ghi, hai mức đầu càng cao."
            ),
        };
        self.line(&text);
    }

    fn versions(&mut self, d: &CheckDocument, b: &DecisionBasis) {
        let rules = d.purpose.map(|p| self.rules(p).to_owned()).unwrap_or_default();
        let text = match self.language {
            Language::En => format!(
                "\nRules: {rules}\nPolicy {}; fingerprint model {}; calibration {} (fingers), {} (face).",
                b.policy, b.model, b.calibration, b.face_calibration
            ),
            Language::Vi => format!(
                "\nQuy tắc: {rules}\nChính sách {}; mô hình vân tay {}; hiệu chuẩn {} (vân tay), {} (khuôn mặt).",
                b.policy, b.model, b.calibration, b.face_calibration
            ),
        };
        self.line(&text);
    }

    fn purpose(&self, purpose: Purpose) -> &'static str {
        let (english, vietnamese) = match purpose {
            Purpose::CardFirstIssue => ("first identity card", "cấp thẻ căn cước lần đầu"),
            Purpose::CardExchange => ("exchange of an identity card", "cấp đổi thẻ căn cước"),
            Purpose::CardReissue => ("re-issue of an identity card", "cấp lại thẻ căn cước"),
            Purpose::AccountLevel1 => ("account of level 1, by phone", "tài khoản định danh điện tử mức độ 01"),
            Purpose::AccountLevel2 => ("account of level 2, at a station", "tài khoản định danh điện tử mức độ 02"),
            Purpose::Child => ("a child's card, on request", "cấp thẻ cho trẻ em theo yêu cầu"),
            Purpose::AuthorisedSearch => ("an authorised search", "tra cứu theo thẩm quyền"),
            Purpose::Reverification => ("re-verification", "xác minh lại"),
        };
        self.say(english, vietnamese)
    }

    fn rules(&self, purpose: Purpose) -> &'static str {
        let (english, vietnamese) = match purpose {
            Purpose::CardFirstIssue | Purpose::AuthorisedSearch => (
                "no record of the applicant is expected, so nobody may be found.",
                "không chờ đợi bản ghi nào của người đề nghị, nên không được tìm thấy ai.",
            ),
            Purpose::CardExchange | Purpose::CardReissue | Purpose::Reverification => (
                "the applicant's own record must be found, and nobody else's.",
                "phải tìm thấy bản ghi của chính người đề nghị và không được tìm thấy ai khác.",
            ),
            Purpose::AccountLevel1 => (
                "the live portrait must be that of the chip or of the claimed record, and nobody else may be found.",
                "ảnh chụp phải trùng với ảnh trong chip hoặc hồ sơ đã khai, và không được tìm thấy ai khác.",
            ),
            Purpose::AccountLevel2 | Purpose::Child => (
                "if a record is claimed it must be the applicant's; nobody else may be found.",
                "nếu có khai hồ sơ thì đó phải là của người đề nghị; không được tìm thấy ai khác.",
            ),
        };
        self.say(english, vietnamese)
    }

    fn outcome(&self, outcome: Outcome) -> &'static str {
        let (english, vietnamese) = match outcome {
            Outcome::Clear => ("CLEAR. Nobody was found.", "KHÔNG TRÙNG. Không tìm thấy ai."),
            Outcome::Confirmed => (
                "CONFIRMED. The claimed record is the applicant's, and nobody else was found.",
                "XÁC NHẬN. Hồ sơ đã khai đúng là của người đề nghị và không tìm thấy ai khác.",
            ),
            Outcome::Duplicate => (
                "DUPLICATE. The applicant is already enrolled.",
                "TRÙNG. Người đề nghị đã có dữ liệu sinh trắc học trong hệ thống.",
            ),
            Outcome::Mismatch => (
                "MISMATCH. The claimed identity is not the applicant's.",
                "KHÔNG KHỚP. Danh tính đã khai không phải của người đề nghị.",
            ),
            Outcome::Review => (
                "REVIEW. An officer must examine it before it goes on.",
                "CẦN XEM XÉT. Cán bộ phải xem xét trước khi làm tiếp.",
            ),
            Outcome::Recapture => (
                "RECAPTURE. The capture is not good enough to decide on; nothing was kept for searching.",
                "THU NHẬN LẠI. Dữ liệu thu nhận chưa đủ tốt để kết luận; không lưu để tra cứu.",
            ),
            Outcome::Refused => (
                "REFUSED. The rules do not allow biometrics to be taken for this.",
                "TỪ CHỐI. Quy định không cho phép thu nhận sinh trắc học trong trường hợp này.",
            ),
        };
        self.say(english, vietnamese)
    }

    fn advice(&self, outcome: Outcome, d: &CheckDocument) -> &'static str {
        let approval = d.reasons.iter().any(|r| r.code == "many_fingers_missing");
        let (english, vietnamese) = match outcome {
            Outcome::Clear | Outcome::Confirmed => ("go on.", "tiếp tục thủ tục."),
            Outcome::Duplicate | Outcome::Mismatch => (
                "stop, keep the application, and hand it to those who examine such cases. It is no proof of guilt.",
                "dừng lại, giữ hồ sơ và chuyển cho bộ phận xác minh. Đây chưa phải là bằng chứng vi phạm.",
            ),
            Outcome::Review if approval => (
                "a second person must look at the missing fingers and approve them or not.",
                "người thứ hai phải kiểm tra các ngón tay thiếu và phê duyệt hoặc không.",
            ),
            Outcome::Review => ("wait until it has been examined.", "chờ kết quả xem xét."),
            Outcome::Recapture => ("capture again what is named below.", "thu nhận lại những phần nêu dưới đây."),
            Outcome::Refused => ("tell the applicant the reason below.", "cho người đề nghị biết lý do dưới đây."),
        };
        self.say(english, vietnamese)
    }

    fn source(&self, source: &SourceDocument) -> String {
        match source.finger.and_then(FingerPosition::new) {
            Some(finger) => match self.language {
                Language::En => finger.name().to_owned(),
                Language::Vi => finger.name_vi().to_owned(),
            },
            None => self.say("face", "khuôn mặt").to_owned(),
        }
    }

    fn verdict_of(&self, llr: f32) -> &'static str {
        let (english, vietnamese) = match llr {
            l if l >= 6.9 => ("strongly for the same person", "rất giống cùng một người"),
            l if l >= 1.0 => ("for the same person", "giống cùng một người"),
            l if l > -0.3 => ("says little", "không nói lên nhiều"),
            _ => ("against it", "không giống"),
        };
        self.say(english, vietnamese)
    }

    /// What a score means, in words.
    fn odds(&self, score: f32) -> String {
        let times = f64::from(score.abs());
        // Whole powers of ten, in words as far as there are words that everybody knows.
        let power = (times / std::f64::consts::LN_10).floor() as u32;
        let word = match (self.language, power) {
            (_, 0) => String::new(),
            (Language::En, 1) => "ten".into(),
            (Language::En, 2) => "a hundred".into(),
            (Language::En, 3) => "a thousand".into(),
            (Language::En, 4) => "ten thousand".into(),
            (Language::En, 5) => "a hundred thousand".into(),
            (Language::En, 6) => "a million".into(),
            (Language::En, 7) => "ten million".into(),
            (Language::En, 8) => "a hundred million".into(),
            (Language::En, _) => "a thousand million".into(),
            (Language::Vi, 1) => "mười".into(),
            (Language::Vi, 2) => "một trăm".into(),
            (Language::Vi, 3) => "một nghìn".into(),
            (Language::Vi, 4) => "mười nghìn".into(),
            (Language::Vi, 5) => "một trăm nghìn".into(),
            (Language::Vi, 6) => "một triệu".into(),
            (Language::Vi, 7) => "mười triệu".into(),
            (Language::Vi, 8) => "một trăm triệu".into(),
            (Language::Vi, _) => "một tỷ".into(),
        };
        match (self.language, power, score >= 0.0) {
            (Language::En, 0, _) => "Such a resemblance says neither yes nor no.".into(),
            (Language::En, _, true) => format!(
                "Such a resemblance is more than {word} times as likely between two captures of one person as between \
                 two people."
            ),
            (Language::En, _, false) => {
                format!(
                    "It is more than {word} times as likely between two people as between two captures of one person."
                )
            }
            (Language::Vi, 0, _) => "Mức giống nhau này không cho biết là phải hay không phải.".into(),
            (Language::Vi, _, true) => format!(
                "Mức giống nhau này dễ gặp ở hai lần thu nhận của cùng một người, gấp hơn {word} lần so với ở hai người khác nhau."
            ),
            (Language::Vi, _, false) => format!(
                "Mức này dễ gặp ở hai người khác nhau, gấp hơn {word} lần so với ở hai lần thu nhận của cùng một người."
            ),
        }
    }

    fn records(&self, count: u64) -> String {
        let n = self.number(count);
        match self.language {
            Language::En if count == 1 => "1 record".to_owned(),
            Language::En => format!("{n} records"),
            Language::Vi => format!("{n} bản ghi"),
        }
    }

    /// `1,234` or `1.234`.
    fn number(&self, value: u64) -> String {
        let grouped = crate::cli::grouped(value);
        match self.language {
            Language::En => grouped,
            Language::Vi => grouped.replace(',', "."),
        }
    }

    /// Two decimals with their sign, as Vietnamese writes them or as English does.
    fn score(&self, value: f32) -> String {
        let mut text = String::new();
        let _ = write!(text, "{value:+.2}");
        match self.language {
            Language::En => text,
            Language::Vi => text.replace('.', ","),
        }
    }

    fn one_in(&self, rate: f64) -> String {
        self.number((1.0 / rate.max(1e-18)).round() as u64)
    }
}

/// Whether a source's modality was left out of the sum: all of it counts 0 while the other one speaks for. Only then can
/// it not veto what the other one found.
fn left_out(candidate: &CandidateDocument, source: &SourceDocument) -> bool {
    let same = |s: &&SourceDocument| s.finger.is_some() == source.finger.is_some();
    candidate.sources.iter().filter(same).all(|s| s.llr == 0.0)
        && candidate.sources.iter().filter(|s| !same(s)).any(|s| s.llr > 0.0)
}

/// The sentence with a capital.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

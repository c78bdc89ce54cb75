//! Identity numbers as declared: their form and what they say of their holder. They are pseudonyms (`key`) before
//! anything is written, and never printed.

/// Codes of the provinces and cities where a birth is registered (General Statistics Office; a merged province's code
/// lives on in the numbers that were given out).
const PROVINCES: [u16; 63] = [
    1, 2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 22, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37, 38, 40, 42, 44, 45,
    46, 48, 49, 51, 52, 54, 56, 58, 60, 62, 64, 66, 67, 68, 70, 72, 74, 75, 77, 79, 80, 82, 83, 84, 86, 87, 89, 91, 92,
    93, 94, 95, 96,
];
/// Codes of countries, for births registered abroad.
const ABROAD: std::ops::RangeInclusive<u16> = 101..=399;

/// An identity number as declared. Zeroised on drop, never printed.
pub struct Identity(zeroize::Zeroizing<String>);

/// The sex that a station states, to be held against the number; never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    /// Male.
    Male,
    /// Female.
    Female,
}

/// Why a number can't be a personal identity number, or not this person's. Says nothing of the number itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFault {
    /// Not twelve digits.
    #[error("expected 12 digits")]
    Form,
    /// No province and no country has this code.
    #[error("the first three digits are the code of no province and no country")]
    Province,
    /// A century that has not begun.
    #[error("the fourth digit stands for a century that has not begun")]
    Century,
    /// A year that has not begun.
    #[error("the digits of the year of birth stand for a year that has not begun")]
    Year,
    /// Another year of birth than declared.
    #[error("the year of birth in the number is not the declared one")]
    OtherYear,
    /// Another sex than declared.
    #[error("the sex in the number is not the declared one")]
    OtherSex,
}

impl Identity {
    /// 1 to 32 printable ASCII characters without spaces.
    pub fn new(text: &str) -> Option<Self> {
        let ok = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        ok.then(|| Self(zeroize::Zeroizing::new(text.to_owned())))
    }

    /// The number itself: only the pseudonym function may ask.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is a personal identity number that may be this person's: twelve digits, three for the place where the
    /// birth is registered, one for century and sex, two for the year of birth, six at random.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn plausible(&self, this_year: u16, born: Option<u16>, sex: Option<Sex>) -> Result<(), IdentityFault> {
        let digits = self.0.as_bytes();
        if digits.len() != 12 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(IdentityFault::Form);
        }
        let number = |range: std::ops::Range<usize>| {
            digits[range].iter().fold(0u16, |value, digit| value * 10 + u16::from(digit - b'0'))
        };
        let place = number(0..3);
        if PROVINCES.binary_search(&place).is_err() && !ABROAD.contains(&place) {
            return Err(IdentityFault::Province);
        }
        let century_and_sex = number(3..4);
        let year = 1900 + 100 * (century_and_sex / 2) + number(4..6);
        if 1900 + 100 * (century_and_sex / 2) > this_year {
            return Err(IdentityFault::Century);
        }
        if year > this_year {
            return Err(IdentityFault::Year);
        }
        if born.is_some_and(|born| born != year) {
            return Err(IdentityFault::OtherYear);
        }
        let own = if century_and_sex % 2 == 0 { Sex::Male } else { Sex::Female };
        if sex.is_some_and(|sex| sex != own) {
            return Err(IdentityFault::OtherSex);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1900 and later.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// `YYYY-MM-DD`; `None` for a day that is not in the calendar.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let part = parts.next()?;
            (part.len() == length && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u16>().ok())?
        };
        let (year, month, day) = (part(4)?, part(2)? as u8, part(2)? as u8);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let ok = parts.next().is_none() && year >= 1900 && (1..=days).contains(&day);
        ok.then_some(Self { year, month, day })
    }

    /// The day of a moment, in Viet Nam (UTC+7).
    pub fn of(time_ms: u64) -> Self {
        // Days since 1970-03-01's era (Hinnant, chrono-compatible low-level date algorithms).
        let days = (time_ms / 1000 + 7 * 3600) / 86_400 + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * shifted + 2) / 5 + 1) as u8;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u8;
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Self { year: year as u16, month, day }
    }

    /// Whole years from this day to another; `None` when that comes before it.
    pub fn age_on(self, day: Self) -> Option<u8> {
        if day < self {
            return None;
        }
        let before = (day.month, day.day) < (self.month, self.day);
        Some((day.year - self.year - u16::from(before)).min(255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(number: &str, born: Option<u16>, sex: Option<Sex>) -> Option<IdentityFault> {
        Identity::new(number).expect("printable").plausible(2026, born, sex).err()
    }

    #[test]
    fn twelve_digits_say_place_century_sex_and_year() {
        use IdentityFault as F;
        for (number, born, sex, expected) in [
            ("001085123456", Some(1985), Some(Sex::Male), None),
            ("079185123456", Some(1985), Some(Sex::Female), None),
            ("048204000001", Some(2004), Some(Sex::Male), None),
            ("096305999999", None, None, None),
            ("184099000001", None, None, None),
            ("00108512345", None, None, Some(F::Form)),
            ("0010851234567", None, None, Some(F::Form)),
            ("00108512345a", None, None, Some(F::Form)),
            ("003085123456", None, None, Some(F::Province)),
            ("000085123456", None, None, Some(F::Province)),
            ("097085123456", None, None, Some(F::Province)),
            ("001485123456", None, None, Some(F::Century)),
            ("001227123456", None, None, Some(F::Year)),
            ("001226123456", None, None, None),
            ("001085123456", Some(1986), None, Some(F::OtherYear)),
            ("001285123456", Some(1985), None, Some(F::Year)),
            ("001085123456", Some(1985), Some(Sex::Female), Some(F::OtherSex)),
        ] {
            assert_eq!(fault(number, born, sex), expected, "{number} {born:?} {sex:?}");
        }
        assert!(PROVINCES.is_sorted());
    }

    #[test]
    fn no_number_is_ever_printed() {
        let identity = Identity::new("001085123456").expect("printable");
        assert_eq!(format!("{identity:?}"), "Identity(..)");
        for fault in [IdentityFault::Province, IdentityFault::OtherYear, IdentityFault::Form] {
            assert!(!fault.to_string().contains("001"), "{fault}");
        }
    }

    #[test]
    fn ages_count_birthdays_in_viet_nam() {
        let date = |text: &str| Date::parse(text).expect(text);
        for (born, on, age) in [
            ("2020-02-29", "2026-02-28", Some(5)),
            ("2020-02-29", "2026-03-01", Some(6)),
            ("2020-11-23", "2026-11-23", Some(6)),
            ("2020-11-24", "2026-11-23", Some(5)),
            ("2026-11-24", "2026-11-23", None),
            ("1900-01-01", "2026-01-01", Some(126)),
        ] {
            assert_eq!(date(born).age_on(date(on)), age, "{born} on {on}");
        }
        for bad in ["2025-02-29", "2025-13-01", "2025-00-10", "2025-4-01", "20250401", "1899-12-31", "2025-04-31", "x"]
        {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
        // 17:00 in Greenwich is midnight in Ha Noi.
        assert_eq!(Date::of(1_795_366_799_000), date("2026-11-22"));
        assert_eq!(Date::of(1_795_366_800_000), date("2026-11-23"));
        assert_eq!(Date::of(951_782_400_000), date("2000-02-29"));
    }
}

//! Planning a multipart upload: which bytes go into which part.
//!
//! Limits: Amazon S3 User Guide, "Amazon S3 multipart upload limits".

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::range::ByteRange;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Parts an upload may have.
pub const MAX_PART_COUNT: u16 = 10_000;
/// Smallest part but the last, in bytes.
pub const MIN_PART_SIZE: u64 = 5 * MIB;
/// Largest part in bytes, and the largest object that one PUT or one CopyObject takes.
pub const MAX_PART_SIZE: u64 = 5 * GIB;
/// Largest object: every part at its largest, 48.8 TiB.
pub const MAX_OBJECT_SIZE: u64 = MAX_PART_COUNT as u64 * MAX_PART_SIZE;
/// Part size where the upload does not ask for larger ones.
pub const DEFAULT_PART_SIZE: u64 = 8 * MIB;
/// Sizes are whole MiB: the SHA-256 block (64 bytes) divides them, and so do the stores' own units.
const PART_SIZE_STEP: u64 = MIB;

/// A part's number, 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u16")]
pub struct PartNumber(NonZeroU16);

/// Why a plan, a part number or a part range was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PartError {
    #[error("a part number is a whole number from 1 to {MAX_PART_COUNT}")]
    Number,
    #[error("a range of parts is written FIRST-LAST, as in 1-100, with FIRST not above LAST")]
    Range,
    #[error("an object has at most {MAX_OBJECT_SIZE} bytes")]
    TooLarge,
    #[error("an empty blob has no parts; send it with mode=put")]
    Empty,
}

impl PartNumber {
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// # Errors
    ///
    /// [`PartError::Number`]: 0, or above [`MAX_PART_COUNT`].
    pub fn new(number: u64) -> Result<Self, PartError> {
        u16::try_from(number)
            .ok()
            .filter(|number| *number <= MAX_PART_COUNT)
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or(PartError::Number)
    }

    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The number after this one.
    ///
    /// # Errors
    ///
    /// [`PartError::Number`]: this is the last one there can be.
    pub fn next(self) -> Result<Self, PartError> {
        Self::new(u64::from(self.get()) + 1)
    }
}

impl TryFrom<u64> for PartNumber {
    type Error = PartError;

    fn try_from(number: u64) -> Result<Self, PartError> {
        Self::new(number)
    }
}

impl From<PartNumber> for u16 {
    fn from(number: PartNumber) -> Self {
        number.get()
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PartNumber {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        parse_decimal(text).ok_or(PartError::Number).and_then(Self::new)
    }
}

/// Digits only: `u64::from_str` would take a leading `+`.
fn parse_decimal(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A range of part numbers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRange {
    pub first: PartNumber,
    pub last: PartNumber,
}

impl FromStr for PartRange {
    type Err = PartError;

    /// `1-100`, or one number.
    fn from_str(text: &str) -> Result<Self, PartError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse()?, last.parse()?);
        if first > last { Err(PartError::Range) } else { Ok(Self { first, last }) }
    }
}

/// One part of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub number: PartNumber,
    /// First byte of the part in the blob.
    pub offset: u64,
    /// In bytes.
    pub size: u64,
}

/// A part the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPart {
    pub number: PartNumber,
    /// In bytes.
    pub size: u64,
    /// Opaque; compared, never interpreted.
    pub etag: String,
}

/// How a blob of a known size is cut: equal parts (R2 insists), the last one shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    size: u64,
    part_size: u64,
}

impl PartPlan {
    /// Plans `size` bytes in parts of at least `floor` bytes, larger where 10,000 would not be enough.
    ///
    /// # Errors
    ///
    /// [`PartError::Empty`] of no bytes, [`PartError::TooLarge`] above [`MAX_OBJECT_SIZE`].
    pub fn new(size: u64, floor: u64) -> Result<Self, PartError> {
        if size == 0 {
            return Err(PartError::Empty);
        }
        if size > MAX_OBJECT_SIZE {
            return Err(PartError::TooLarge);
        }
        let enough = size.div_ceil(u64::from(MAX_PART_COUNT)).next_multiple_of(PART_SIZE_STEP);
        Ok(Self { size, part_size: enough.max(floor.clamp(MIN_PART_SIZE, MAX_PART_SIZE)) })
    }

    /// A plan as it was persisted.
    ///
    /// # Errors
    ///
    /// [`PartError::Empty`]: one of the two is 0. [`PartError::TooLarge`]: the parts, or their number, are above what an
    /// object takes.
    pub fn restore(size: u64, part_size: u64) -> Result<Self, PartError> {
        if size == 0 || part_size == 0 {
            return Err(PartError::Empty);
        }
        if part_size > MAX_PART_SIZE || size.div_ceil(part_size) > u64::from(MAX_PART_COUNT) {
            return Err(PartError::TooLarge);
        }
        Ok(Self { size, part_size })
    }

    /// The plan with the part that has these bytes, where its client tells of one part after the other, and of the first
    /// how long all but the last are. None where no part of that length begins there.
    #[must_use]
    pub fn with_part(self, range: ByteRange) -> Option<(Self, Part)> {
        let number = PartNumber::new((range.start / self.part_size).saturating_add(1)).ok()?;
        let plan = Self::restore(self.size.max(range.end), self.part_size).ok()?;
        let part = plan.part(number)?;
        (part.offset == range.start && part.size == range.length()).then_some((plan, part))
    }

    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    #[must_use]
    pub const fn part_size(&self) -> u64 {
        self.part_size
    }

    /// How many parts there are: at least one, at most 10,000.
    #[must_use]
    pub fn part_count(&self) -> u16 {
        u16::try_from(self.size.div_ceil(self.part_size)).unwrap_or(MAX_PART_COUNT)
    }

    /// The part with this number, if the plan has it.
    #[must_use]
    pub fn part(&self, number: PartNumber) -> Option<Part> {
        let offset = u64::from(number.get() - 1) * self.part_size;
        (offset < self.size).then(|| Part { number, offset, size: self.part_size.min(self.size - offset) })
    }

    /// Every part, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        (1..=u64::from(self.part_count())).filter_map(|number| self.part(PartNumber::new(number).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_plan_covers_the_blob_exactly_within_the_limits(size in 1..=MAX_OBJECT_SIZE, floor in 0..=2 * MAX_PART_SIZE) {
            let plan = PartPlan::new(size, floor).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(plan.part_size() >= MIN_PART_SIZE && plan.part_size() <= MAX_PART_SIZE);
            prop_assert!(plan.part_count() >= 1 && plan.part_count() <= MAX_PART_COUNT);
            let mut next = 0;
            for part in plan.parts() {
                prop_assert_eq!(part.offset, next);
                prop_assert!(part.size > 0 && part.size <= plan.part_size());
                next += part.size;
            }
            prop_assert_eq!(next, size);
            prop_assert_eq!(PartPlan::restore(size, plan.part_size()), Ok(plan));
            prop_assert_eq!(plan.part(PartNumber::new(u64::from(plan.part_count()) + 1).unwrap_or(PartNumber::FIRST)).is_none(), plan.part_count() < MAX_PART_COUNT);
        }

        #[test]
        fn a_plan_that_is_told_part_by_part_is_the_plan_of_the_whole(size in 1_u64..1000, part_size in 1_u64..400) {
            let part_size = part_size.min(size);
            let whole = PartPlan::restore(size, part_size).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let mut grown = PartPlan::restore(part_size, part_size).map_err(|e| TestCaseError::fail(e.to_string()))?;
            for planned in whole.parts() {
                let range = ByteRange { start: planned.offset, end: planned.offset + planned.size };
                let (plan, part) = grown.with_part(range).ok_or_else(|| TestCaseError::fail("refused"))?;
                prop_assert_eq!((part, plan.with_part(range)), (planned, Some((plan, planned))));
                for other in [ByteRange { start: range.start + 1, ..range }, ByteRange { end: range.end + part_size, ..range }] {
                    prop_assert!(other.start >= other.end || plan.with_part(other).is_none());
                }
                grown = plan;
            }
            prop_assert_eq!(grown, whole);
        }

        #[test]
        fn parsing_a_range_never_panics(text in ".{0,20}") {
            if let Ok(range) = text.parse::<PartRange>() {
                prop_assert!(range.first <= range.last);
            }
        }
    }

    #[test]
    fn parts_grow_only_when_ten_thousand_are_not_enough() {
        let part_size = |size| PartPlan::new(size, DEFAULT_PART_SIZE).map(|plan| plan.part_size());
        assert_eq!(part_size(1), Ok(8 * MIB));
        assert_eq!(part_size(80_000 * MIB), Ok(8 * MIB));
        assert_eq!(part_size(80_000 * MIB + 1), Ok(9 * MIB));
        assert_eq!(part_size(MAX_OBJECT_SIZE), Ok(5 * GIB));
        assert_eq!(part_size(MAX_OBJECT_SIZE + 1), Err(PartError::TooLarge));
        assert_eq!(part_size(0), Err(PartError::Empty));
    }

    #[test]
    fn ranges_and_numbers_outside_the_limits_are_refused() {
        for bad in
            ["", "0", "10001", "1-0", "2-1", "+1", "1-", "-1", "1-2-3", "99999999999999999999", "1 - 2"]
        {
            assert!(bad.parse::<PartRange>().is_err(), "{bad}");
        }
        assert_eq!("7".parse::<PartRange>().map(|r| (r.first.get(), r.last.get())), Ok((7, 7)));
    }
}

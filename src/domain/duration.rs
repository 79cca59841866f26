//! Lengths of time, as people write them: `90s`, `15m`, `24h`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A thousand years are a slip of the pen, and dates that far do not fit the database.
pub const LONGEST: Duration = Duration::from_hours(1000 * 365 * 24);
/// What S3 signs at all (Amazon S3 User Guide, "Sharing objects with presigned URLs").
pub const LONGEST_URL_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Reads a length of time within these bounds.
///
/// # Errors
/// Says how one is written, and the bounds.
pub fn parse(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let read = humantime::parse_duration(text).ok().filter(|read| bounds.contains(read));
    read.ok_or_else(|| {
        let (least, most) = (Written(*bounds.start()), Written(*bounds.end()));
        format!("must be from {least} to {most}, written like 90s, 15m, 24h")
    })
}

/// In the largest unit that it is a whole number of: months of a calendar would make 90 days an odd lot.
#[derive(Debug)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m"), (1, "s")];
        let fits =
            |(seconds, _): &(u64, &str)| self.0 == Duration::from_secs(self.0.as_secs() / seconds * seconds);
        match units.into_iter().find(fits) {
            Some((seconds, unit)) => write!(f, "{}{unit}", self.0.as_secs() / seconds),
            None => write!(f, "{}", humantime::format_duration(self.0)),
        }
    }
}

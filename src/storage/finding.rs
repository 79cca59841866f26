//! What an examination finds: the verdict, and the mend for what is wrong.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub subject: &'static str,
    pub verdict: Verdict,
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    /// Works, but costs something or some clients are left out.
    Warning,
    Broken,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Broken => "BROKEN",
        })
    }
}

impl Finding {
    #[must_use]
    pub fn good(subject: &'static str, detail: String) -> Self {
        Self { subject, verdict: Verdict::Good, detail, mend: None }
    }

    #[must_use]
    pub fn warning(subject: &'static str, detail: String, mend: &'static str) -> Self {
        Self { subject, verdict: Verdict::Warning, detail, mend: Some(mend) }
    }

    #[must_use]
    pub fn broken(subject: &'static str, detail: String, mend: &'static str) -> Self {
        Self { subject, verdict: Verdict::Broken, detail, mend: Some(mend) }
    }

    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.verdict == Verdict::Broken
    }
}

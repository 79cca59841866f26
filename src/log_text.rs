//! Errors and the texts of others, made fit for a line of the log.

use std::borrow::Cow;
use std::error::Error;

/// Longest text of others that is written into one field of a line, in characters: any error's, and any path's that
/// leads somewhere.
const MAX_TEXT: usize = 1024;

/// A text that others have made, fit for a log: no line break, no escape sequence for somebody's terminal, no change of
/// the writing's direction, and not without end.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    let mut characters = text.char_indices();
    let cut = characters.nth(MAX_TEXT).map(|(at, _)| at);
    let kept = &text[..cut.unwrap_or(text.len())];
    if cut.is_none() && !kept.contains(acts_on_terminals) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(kept.len());
    for c in kept.chars() {
        if acts_on_terminals(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    if cut.is_some() {
        plain.push('…');
    }
    Cow::Owned(plain)
}

/// Control characters (C0, C1, DEL), separators of lines, and marks and overrides of direction (Unicode Standard Annex
/// 9).
fn acts_on_terminals(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// An error with all its causes, for the log: some of them repeat what a client has sent.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    plain(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no variant {0}")]
    struct Outer(String, #[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("found {0}")]
    struct Inner(String);

    #[test]
    fn what_others_have_made_is_one_line_that_acts_on_no_terminal() {
        for (text, logged) in [
            ("nothing special: é 漢 \u{1f600} {}", "nothing special: é 漢 \u{1f600} {}"),
            ("a\nERROR forged", "a\\nERROR forged"),
            ("\u{1b}[2J\u{9b}31m\u{7f}", "\\u{1b}[2J\\u{9b}31m\\u{7f}"),
            ("\u{202e}txt.exe\u{2028}\u{feff}", "\\u{202e}txt.exe\\u{2028}\\u{feff}"),
            ("a\0b", "a\\u{0}b"),
        ] {
            assert_eq!(plain(text), logged);
        }
        let long = "é".repeat(100_000);
        assert_eq!(plain(&long).chars().count(), MAX_TEXT + 1);
        let error = Outer("\u{1b}[0m".to_owned(), Inner(format!("x\ny{long}")));
        let logged = chain(&error);
        assert!(logged.starts_with("no variant \\u{1b}[0m: found x\\ny"), "{logged}");
        assert!(logged.chars().count() <= MAX_TEXT + 20);
    }
}

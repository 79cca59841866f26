//! Text from outside, for a terminal.
//!
//! Names, titles and messages of a registry or an archive can have anything in them. A terminal obeys escape
//! sequences (it clears lines, sets the clipboard, answers as if somebody had typed), and shows text that is written
//! from right to left in another order than it has. Neither may make a line say what it does not.

use std::borrow::Cow;
use std::fmt::Write;

/// One line of text with each character that a terminal would not simply show written as `\u1234`.
///
/// The escapes are JSON's own: inside a JSON string they stand for what they replace.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// As [`printable`], of several lines.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// As [`printable`], and no longer than so many characters.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |c: char| is_harmful(c) && !is_kept(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Control characters of both tables, those that turn the direction of writing (Unicode TR 9 §2), breaks of lines, and
/// what cannot be seen. Not the joiners, which scripts need.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_has_no_control_characters_and_json_keeps_its_meaning(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_harmful));
            let json = serde_json::Value::from(text.as_str());
            let shown = printable(&json.to_string()).into_owned();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(json));
        }
    }

    #[test]
    fn escapes_and_turned_writing_are_shown_and_all_else_is_left() {
        for (text, shown) in [
            ("v1", "v1"),
            ("für Ünïcödé 日本 👩\u{200d}🚀", "für Ünïcödé 日本 👩\u{200d}🚀"),
            ("\u{1b}[2K\rok", "\\u001b[2K\\u000dok"),
            ("\u{9b}2J", "\\u009b2J"),
            ("exe\u{202e}gnp", "exe\\u202egnp"),
            ("a\nsigned in", "a\\u000asigned in"),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\n\tb\u{7}"), "a\n\tb\\u0007");
        assert_eq!(
            (shortened("abc", 3), shortened("ab\u{7}d", 3)),
            ("abc".to_owned(), "ab\\u0007…".to_owned())
        );
    }
}

//! Enums whose values are words: stored, shown and read as such.

/// A text that is none of the words that it may be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is none of {}", listed(.words))]
pub struct UnknownName {
    pub text: String,
    pub words: &'static [&'static str],
}

fn listed(words: &[&str]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        words => words.concat(),
    }
}

/// An enum, with the word of each value.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$word_meta:meta])* $word:ident: $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_meta])* $word,)+
        }

        impl $name {
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$word),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::words::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.into_iter().find(|word| word.as_str() == text);
                found.ok_or_else(|| $crate::domain::words::UnknownName {
                    text: text.to_owned(),
                    words: &[$($text),+],
                })
            }
        }
    };
}
pub(super) use words;

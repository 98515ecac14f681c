//! What went wrong, in a sentence.

use std::fmt;

/// A sentence in lower case that ends without a stop, and where there is one a hint: a thing to type.
#[derive(Debug, Clone)]
pub struct Error {
    sentence: String,
    hint: Option<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that says `sentence`.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), hint: None }
    }

    /// The same error with something to type.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($other:ty),*) => {
        $(impl From<$other> for Error {
            fn from(other: $other) -> Self {
                Self::new(other.to_string())
            }
        })*
    };
}
from!(std::io::Error, nix::Error, serde_json::Error, std::num::ParseIntError, std::net::AddrParseError, String, &str);

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Puts `doing` in front of the error's own sentence: `doing: sentence`.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let Error { sentence, hint } = error.into();
            Error { sentence: format!("{doing}: {sentence}"), hint }
        })
    }
}

/// Leaves the function with an [`Error`] that says the formatted sentence.
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => { return Err($crate::error::Error::new(format!($($text)*))) };
}

/// Leaves the function with an [`Error`] unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => { if !$condition { $crate::fail!($($text)*) } };
}

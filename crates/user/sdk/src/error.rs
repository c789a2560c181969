//! What `?` in a service's `main` gathers.

use core::fmt;
use core::panic::Location;

use rt::EnvError;
use stub::Refusal;

/// Why a program gave up, and where in its source it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    why: Why,
    place: &'static Location<'static>,
}

/// Why a program gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was not given what it needs.
    Env(EnvError),
    /// A call was refused.
    Refused(Refusal),
}

impl Error {
    /// What went wrong.
    pub const fn why(&self) -> Why {
        self.why
    }

    /// The `?`, or the conversion, that made it.
    pub const fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

impl From<EnvError> for Error {
    #[track_caller]
    fn from(error: EnvError) -> Self {
        Self {
            why: Why::Env(error),
            place: Location::caller(),
        }
    }
}

impl From<Refusal> for Error {
    #[track_caller]
    fn from(refusal: Refusal) -> Self {
        Self {
            why: Why::Refused(refusal),
            place: Location::caller(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Env(error) => error.fmt(f)?,
            Why::Refused(refusal) => write!(f, "{}: {refusal}", refusal.name())?,
        }
        write!(f, " ({}:{})", self.place.file(), self.place.line())
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::{Error, Refusal, Why};
    use alloc::string::ToString;

    #[test]
    fn an_error_names_the_question_mark_that_made_it() {
        fn refused() -> Result<(), Refusal> {
            Err(Refusal::OutOfRange)
        }
        fn main() -> Result<(), Error> {
            refused()?;
            Ok(())
        }
        let line = line!() - 3;
        let error = main().unwrap_err();
        assert_eq!(error.why(), Why::Refused(Refusal::OutOfRange));
        assert_eq!(error.place().line(), line);
        let end = alloc::format!("object ({}:{line})", file!());
        assert!(error.to_string().ends_with(&end), "{error}");
        let by_hand: Error = Refusal::Failed.into();
        assert_eq!(by_hand.place().line(), super::tests::LINE);
    }

    const LINE: u32 = line!() - 4;
}

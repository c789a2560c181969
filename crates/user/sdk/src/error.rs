//! What `?` in a service's `main` gathers.

use core::fmt;

use rt::EnvError;
use stub::Refusal;

/// Why a program gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It was not given what it needs.
    Env(EnvError),
    /// A call was refused.
    Refused(Refusal),
}

impl From<EnvError> for Error {
    fn from(error: EnvError) -> Self {
        Self::Env(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "{}: {refusal}", refusal.name()),
        }
    }
}

impl core::error::Error for Error {}

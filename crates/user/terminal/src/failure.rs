//! Why a command did not do what it was asked.

use core::fmt;

use sdk::{
    Refusal,
    alloc::{
        format,
        string::{String, ToString},
    },
};
use shell_lang::refusal::advice;

/// Why a command stopped.
pub enum Failure {
    /// A service or the kernel refused.
    Refused {
        /// What it was about.
        about: String,
        /// Why.
        refusal: Refusal,
    },
    /// The program knows better what is wrong, in a whole sentence with what to do.
    Said(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Says what a refusal was about.
    pub fn about(about: &(impl fmt::Display + ?Sized)) -> impl FnOnce(Refusal) -> Self {
        let about = about.to_string();
        move |refusal| Self::Refused { about, refusal }
    }

    /// The program was not given what the command needs.
    pub fn not_held(interface: &str) -> Self {
        Self::Said(format!(
            "no {interface} is held here; caps lists what is, and the manifest decides"
        ))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { about, refusal } => {
                write!(f, "{about}: {refusal}")?;
                advice(*refusal).map_or(Ok(()), |advice| write!(f, "; {advice}"))
            }
            Self::Said(text) => f.write_str(text),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

//! The facts that the manager states.

use core::fmt;

use evidence::{FactWriter, write_fact};
use units::Bdf;

/// Starts a fact about a function.
pub(crate) fn about<'s>(sink: &'s mut dyn fmt::Write, topic: &str, bdf: Bdf) -> FactWriter<'s> {
    write_fact(sink, topic).stable("function", format_args!("{bdf}"))
}

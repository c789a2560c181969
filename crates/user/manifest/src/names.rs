//! What names look like.

use alloc::string::ToString;

use crate::{Error, MAX_NAME_BYTES, NameFault, Place};

/// The two kinds of names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// Services, binaries, drivers: lower-case letters, digits and inner hyphens, a letter first.
    Kebab,
    /// Grants and exports: letters and digits, a lower-case letter first.
    Camel,
    /// Groups of functions: what makes it one, a hyphen, an address of a function.
    Group,
}

/// Checks one name.
pub(crate) fn check_name(
    kind: NameKind,
    name: &str,
    field: &'static str,
    place: impl FnOnce() -> Place,
) -> Result<(), Error> {
    let bytes = name.as_bytes();
    let inner = |b: &u8| match kind {
        NameKind::Kebab => b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-',
        NameKind::Camel => b.is_ascii_alphanumeric(),
        NameKind::Group => b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:.".contains(b),
    };
    let fault = if bytes.is_empty() {
        NameFault::Empty
    } else if bytes.len() > MAX_NAME_BYTES {
        NameFault::TooLong
    } else if !bytes.first().is_some_and(u8::is_ascii_lowercase)
        || !bytes.iter().all(inner)
        || bytes.last() == Some(&b'-')
    {
        NameFault::IllFormed
    } else {
        return Ok(());
    };
    Err(Error::BadName {
        place: place(),
        field,
        name: name.to_string(),
        fault,
    })
}

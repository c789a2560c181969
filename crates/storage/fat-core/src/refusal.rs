//! What a client is told.

use fat_format::Error;
use ring_abi::Refusal;

use crate::CacheError;

/// The refusal for an error of the volume; `device` is what the disk's own errors become.
pub fn refusal<E: Copy>(
    error: &Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    match error {
        Error::Device(CacheError::Device(error)) => device(*error),
        Error::Device(CacheError::Outside)
        | Error::BeyondDevice { .. }
        | Error::BootSector(_)
        | Error::Chain { .. }
        | Error::Truncated { .. }
        | Error::DirectoryTooLong => Refusal::Corrupt,
        Error::NotFat { .. } => Refusal::NotSupported,
        Error::NotFound => Refusal::NotFound,
        Error::NotADirectory => Refusal::NotDirectory,
        Error::IsADirectory => Refusal::IsDirectory,
        Error::InvalidName => Refusal::BadArgument,
        Error::PathTooDeep => Refusal::OutOfRange,
        Error::BadPosition => Refusal::Stale,
    }
}

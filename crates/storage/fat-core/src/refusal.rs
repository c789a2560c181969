//! What a client is told.

use ring_abi::Refusal;

use crate::{CacheError, Fault};

/// The refusal for an error of the volume; `device` is what the disk's own errors become.
pub fn refusal<E: Copy>(error: &Fault<E>, device: impl FnOnce(E) -> Refusal) -> Refusal {
    match error {
        Fault::Data(CacheError::Device(error)) => device(*error),
        Fault::Data(CacheError::Outside) => Refusal::Corrupt,
        Fault::Mixed => Refusal::WrongKind,
        Fault::Fat(error) => of_fat(error, device),
        Fault::Ext(error) => of_ext(error, device),
        Fault::Exfat(error) => of_exfat(error, device),
    }
}

fn of_fat<E: Copy>(
    error: &fat_format::Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    use fat_format::Error;
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

fn of_ext<E: Copy>(
    error: &ext_format::Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    use ext_format::Error;
    match error {
        Error::Device(CacheError::Device(error)) => device(*error),
        Error::Device(CacheError::Outside)
        | Error::BeyondDevice { .. }
        | Error::Corrupt { .. }
        | Error::TooManyLinks
        | Error::DirectoryTooLong => Refusal::Corrupt,
        Error::NotExt | Error::Unsupported { .. } | Error::NotAFile => Refusal::NotSupported,
        Error::NotFound => Refusal::NotFound,
        Error::NotADirectory => Refusal::NotDirectory,
        Error::IsADirectory => Refusal::IsDirectory,
        Error::PathTooLong => Refusal::OutOfRange,
        // What lies there was not given with the directory.
        Error::LinkLeaves => Refusal::NotGranted,
    }
}

fn of_exfat<E: Copy>(
    error: &exfat_format::Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    use exfat_format::Error;
    match error {
        Error::Device(CacheError::Device(error)) => device(*error),
        Error::Device(CacheError::Outside)
        | Error::BeyondDevice { .. }
        | Error::Boot(_)
        | Error::Chain { .. }
        | Error::Short { .. }
        | Error::Entry { .. }
        | Error::ChainTooLong
        | Error::DirectoryTooLong => Refusal::Corrupt,
        Error::NotExfat => Refusal::NotSupported,
        Error::NotFound => Refusal::NotFound,
        Error::NotADirectory => Refusal::NotDirectory,
        Error::IsADirectory => Refusal::IsDirectory,
    }
}

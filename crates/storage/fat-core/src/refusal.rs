//! What a client is told.

use foreign_bytes::ReadError;
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

/// What all formats refuse alike, with what only one of them does.
macro_rules! refusal_of {
    ($error:expr, $device:expr, $format:ident { $($only:pat => $refusal:expr,)* }) => {{
        use $format::Error;
        match $error {
            Error::Read(ReadError::Device(CacheError::Device(error))) => $device(*error),
            Error::Read(ReadError::Device(CacheError::Outside) | ReadError::BeyondDevice { .. })
            | Error::DirectoryTooLong => Refusal::Corrupt,
            Error::NotFound => Refusal::NotFound,
            Error::NotADirectory => Refusal::NotDirectory,
            Error::IsADirectory => Refusal::IsDirectory,
            $($only => $refusal,)*
        }
    }};
}

fn of_fat<E: Copy>(
    error: &fat_format::Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    refusal_of!(error, device, fat_format {
        Error::BootSector(_) | Error::Chain { .. } | Error::Truncated { .. } => Refusal::Corrupt,
        Error::NotFat { .. } => Refusal::NotSupported,
        Error::InvalidName => Refusal::BadArgument,
        Error::PathTooDeep => Refusal::OutOfRange,
        Error::BadPosition => Refusal::Stale,
    })
}

fn of_ext<E: Copy>(
    error: &ext_format::Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    refusal_of!(error, device, ext_format {
        Error::Corrupt { .. } | Error::TooManyLinks => Refusal::Corrupt,
        Error::NotExt | Error::Unsupported { .. } | Error::NotAFile => Refusal::NotSupported,
        Error::PathTooLong => Refusal::OutOfRange,
        // What lies there was not given with the directory.
        Error::LinkLeaves => Refusal::NotGranted,
    })
}

fn of_exfat<E: Copy>(
    error: &exfat_format::Error<CacheError<E>>,
    device: impl FnOnce(E) -> Refusal,
) -> Refusal {
    refusal_of!(error, device, exfat_format {
        Error::Boot(_)
        | Error::Chain { .. }
        | Error::Short { .. }
        | Error::Entry { .. }
        | Error::ChainTooLong => Refusal::Corrupt,
        Error::NotExfat => Refusal::NotSupported,
    })
}

//! Random numbers for libraries that ask the system for them through the crate `getrandom`.
//!
//! Owns the function that `getrandom` calls in a guest, and the `EntropySource` behind it. Invariant: it never gives an octet that does not come
//! from that source; where it cannot, as before [`use_source`], it says so and gives none.
#![no_std]
// The function that `getrandom` looks for has a name without a module, and takes a bare address.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use rt::Cap;
use schema::process::entropy_source::Client;
use stub::{Interface, Object as _};

/// Where random numbers come from.
pub type EntropySource = Client<Cap>;

/// Behind any handle: no source yet.
const NO_HANDLE: u64 = u64::MAX;

static SOURCE: AtomicU64 = AtomicU64::new(NO_HANDLE);

/// From now on random numbers come from this source, which stays the program's to its end.
pub fn use_source(source: &EntropySource) {
    SOURCE.store(source.object().handle(), Ordering::Relaxed);
}

/// Fills `to` from the source.
#[cfg(any(test, getrandom_backend = "custom"))]
fn fill(to: &mut [u8]) -> Result<(), getrandom::Error> {
    let handle = SOURCE.load(Ordering::Relaxed);
    if handle == NO_HANDLE {
        return Err(getrandom::Error::UNSUPPORTED);
    }
    let source = EntropySource::from_object(Cap::borrowed(handle));
    for piece in to.chunks_mut(32) {
        let drawn = source.fill().map_err(|_| getrandom::Error::UNEXPECTED)?;
        let octets = [drawn.a, drawn.b, drawn.c, drawn.d].map(u64::to_le_bytes);
        for (to, octet) in piece.iter_mut().zip(octets.as_flattened()) {
            *to = *octet;
        }
    }
    Ok(())
}

/// What `getrandom` 0.3 and 0.4 call where they were built with the backend `custom`.
///
/// # Safety
/// `to` is valid for writes of `length` octets, as `getrandom` promises.
#[cfg(getrandom_backend = "custom")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    to: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller's promise; the octets are made initialised first, because a slice of others must not be.
    let to = unsafe {
        to.write_bytes(0, length);
        core::slice::from_raw_parts_mut(to, length)
    };
    fill(to)
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_a_source_there_are_no_numbers() {
        assert_eq!(super::fill(&mut [0; 4]), Err(getrandom::Error::UNSUPPORTED));
    }
}

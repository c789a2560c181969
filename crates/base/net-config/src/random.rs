//! Numbers that nobody else can guess, from a key that the caller gives.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use units::Nanoseconds;

/// The two keys of an interface. Both come from the system's entropy.
#[derive(Clone)]
pub struct Keys {
    /// The secret key of RFC 7217 section 5: kept over restarts, so that the addresses stay the same.
    pub stable: [u8; 32],
    /// Made anew at each start: what transaction identifiers and delays are drawn from.
    pub fresh: [u8; 32],
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys")
    }
}

/// A stream of numbers drawn from a key; two purposes never share one.
#[derive(Debug)]
pub(crate) struct Random {
    keys: Keys,
    purpose: u8,
    drawn: u64,
}

impl Random {
    pub(crate) const fn new(keys: Keys, purpose: u8) -> Self {
        Self {
            keys,
            purpose,
            drawn: 0,
        }
    }

    /// The next number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut mac = keyed(&self.keys.fresh);
        mac.update(&[self.purpose]);
        mac.update(&self.drawn.to_be_bytes());
        first_eight(mac)
    }

    pub(crate) fn draw32(&mut self) -> u32 {
        (self.draw() >> 32) as u32
    }

    /// A span from nothing up to `span`.
    pub(crate) fn up_to(&mut self, span: Nanoseconds) -> Nanoseconds {
        match span.as_u64().checked_add(1) {
            Some(count) => Nanoseconds::new(self.draw() % count),
            None => Nanoseconds::ZERO,
        }
    }
}

fn first_eight(mac: Hmac<Sha256>) -> u64 {
    let bytes: [u8; 32] = mac.finalize().into_bytes().into();
    bytes[..8]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    Hmac::new(&block)
}

#[cfg(test)]
mod tests {
    use super::{Keys, Random};
    use units::Nanoseconds;

    fn random(fresh: u8) -> Random {
        let keys = Keys {
            stable: [1; 32],
            fresh: [fresh; 32],
        };
        Random::new(keys, 1)
    }

    #[test]
    fn spans_stay_in_their_bounds() {
        let mut random = random(2);
        let second = Nanoseconds::from_secs(1);
        for _ in 0..1000 {
            assert!(random.up_to(second) <= second);
        }
        assert_ne!(random.draw(), random.draw());
        let _ = random.up_to(Nanoseconds::NEVER);
    }
}

//! Numbers that nobody else can guess, and identifiers that stay the same, both from keys that the caller gives.

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

    /// A span of `span` more or less a tenth of it: RAND of RFC 8415 section 15.
    pub(crate) fn about(&mut self, span: Nanoseconds) -> Nanoseconds {
        let tenth = span.as_u64() / 10;
        let drawn = self.up_to(Nanoseconds::new(tenth * 2));
        Nanoseconds::new(span.as_u64() - tenth).saturating_add(drawn)
    }

    /// The interface identifier of RFC 7217 section 5: a function of the prefix, the interface, and how often an address
    /// of this prefix was seen to be somebody else's.
    pub(crate) fn identifier(
        &self,
        prefix: [u8; 8],
        interface: [u8; 6],
        duplicates: u8,
    ) -> [u8; 8] {
        let mut again = 0u8;
        loop {
            let mut mac = keyed(&self.keys.stable);
            mac.update(&prefix);
            mac.update(&interface);
            mac.update(&[duplicates, again]);
            let identifier = first_eight(mac).to_be_bytes();
            if !is_reserved(identifier) || again == u8::MAX {
                return identifier;
            }
            again += 1;
        }
    }
}

/// The identifiers of RFC 5453, which no interface may take: all zeroes, those of subnet anycast, and the block below.
fn is_reserved(identifier: [u8; 8]) -> bool {
    let value = u64::from_be_bytes(identifier);
    value == 0
        || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&value)
        || value >> 24 == 0x02_005e_fffe
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
    use super::{Keys, Random, is_reserved};
    use units::Nanoseconds;

    fn random(stable: u8, fresh: u8) -> Random {
        let keys = Keys {
            stable: [stable; 32],
            fresh: [fresh; 32],
        };
        Random::new(keys, 1)
    }

    /// RFC 7217 section 5: the same while nothing changes, another for another prefix, key, interface or counter.
    #[test]
    fn identifiers_are_stable_and_differ_where_they_must() {
        let prefix = [0xfd, 0, 0, 0, 0, 0, 0, 1];
        let mac = [2, 0, 0, 0, 0, 1];
        let one = random(1, 1).identifier(prefix, mac, 0);
        assert_eq!(one, random(1, 9).identifier(prefix, mac, 0));
        assert_ne!(one, random(2, 1).identifier(prefix, mac, 0));
        assert_ne!(one, random(1, 1).identifier(prefix, mac, 1));
        assert_ne!(one, random(1, 1).identifier([0; 8], mac, 0));
        assert_ne!(one, random(1, 1).identifier(prefix, [2; 6], 0));
    }

    #[test]
    fn reserved_identifiers_are_known() {
        assert!(is_reserved([0; 8]));
        assert!(is_reserved([
            0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe
        ]));
        assert!(is_reserved([0x02, 0, 0x5e, 0xff, 0xfe, 1, 2, 3]));
        assert!(!is_reserved([2, 0, 0, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn spans_stay_in_their_bounds() {
        let mut random = random(1, 2);
        let second = Nanoseconds::from_secs(1);
        for _ in 0..1000 {
            assert!(random.up_to(second) <= second);
            let about = random.about(second);
            assert!(
                about >= Nanoseconds::from_millis(900) && about <= Nanoseconds::from_millis(1100)
            );
        }
        assert_ne!(random.draw(), random.draw());
        let _ = (
            random.up_to(Nanoseconds::NEVER),
            random.about(Nanoseconds::NEVER),
        );
    }
}

//! Requests against a second reading of them, and what a device may answer.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// A request as the fields of Virtio 1.2, 5.13.6 have it, read by another hand: kind, then every number.
fn fields(bytes: &[u8]) -> Vec<u64> {
    let wide: &[usize] = match bytes[0] {
        1 | 2 => &[4, 4, 4, 4],
        3 => &[4, 8, 8, 8, 4],
        4 => &[4, 8, 8, 4],
        5 => &[4, 8, 8, 8, 8, 8, 8, 8, 8],
        other => panic!("kind {other}"),
    };
    let mut at = 4;
    let mut found = std::vec![u64::from(bytes[0])];
    for width in wide {
        let mut word = [0; 8];
        word[..*width].copy_from_slice(&bytes[at..at + width]);
        found.push(u64::from_le_bytes(word));
        at += width;
    }
    assert_eq!((&bytes[1..4], at), (&[0; 3][..], bytes.len()));
    found
}

fn read(request: Request) -> Vec<u64> {
    let (bytes, length) = request.bytes();
    fields(&bytes[..length])
}

proptest! {
    #[test]
    fn requests_say_what_they_mean(domain: u32, endpoint: u32, iova: (u64, u64), physical: u64, writable: bool) {
        let (d, e) = (u64::from(domain), u64::from(endpoint));
        prop_assert_eq!(read(Request::Attach { domain, endpoint }), [1, d, e, 0, 0]);
        prop_assert_eq!(read(Request::Detach { domain, endpoint }), [2, d, e, 0, 0]);
        let map = read(Request::Map { domain, iova, physical, writable });
        prop_assert_eq!(map, [3, d, iova.0, iova.1, physical, 1 + 2 * u64::from(writable)]);
        prop_assert_eq!(read(Request::Unmap { domain, iova }), [4, d, iova.0, iova.1, 0]);
        let probe = read(Request::Probe { endpoint });
        prop_assert_eq!(&probe[..2], [5, e]);
        prop_assert!(probe[2..].iter().all(|word| *word == 0));
    }

    #[test]
    fn no_answer_makes_a_reader_panic(bytes: Vec<u8>, used: (u64, u64), words: [u64; 3]) {
        let _ = reserves(&bytes, used);
        let fault = Fault::read(words);
        prop_assert_eq!(fault.endpoint, words[1] as u32);
    }
}

fn property(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn reserved(subtype: u8, first: u64, last: u64) -> Vec<u8> {
    let mut value = std::vec![subtype, 0, 0, 0];
    value.extend_from_slice(&first.to_le_bytes());
    value.extend_from_slice(&last.to_le_bytes());
    property(1, &value)
}

#[test]
fn only_what_a_domain_might_use_is_reserved() {
    const USED: (u64, u64) = (0x1000, 0xffff_ffff);
    let of = |properties: &[Vec<u8>]| {
        let mut bytes = properties.concat();
        bytes.resize(512, 0);
        reserves(&bytes, USED)
    };
    assert_eq!(of(&[]), Ok(false));
    let messages = reserved(1, 0xfee0_0000, 0xfeef_ffff);
    assert_eq!(of(core::slice::from_ref(&messages)), Ok(false));
    assert_eq!(of(&[messages, reserved(0, 0x8000, 0x8fff)]), Ok(true));
    assert_eq!(of(&[reserved(1, 0xfee0_0000, 0xfef0_0000)]), Ok(true));
    assert_eq!(of(&[reserved(0, 0, 0xfff)]), Ok(false));
    assert_eq!(of(&[reserved(0, 0, 0x1000)]), Ok(true));
    assert_eq!(of(&[reserved(0, 1 << 32, u64::MAX)]), Ok(false));
    assert_eq!(
        of(&[property(7, &[1; 9]), reserved(0, 0, u64::MAX)]),
        Ok(true)
    );
    assert_eq!(of(&[reserved(0, 9, 8)]), Err(BadProperty));
    assert_eq!(of(&[property(1, &[0; 19])]), Err(BadProperty));
    assert_eq!(
        reserves(&property(7, &[0; 9])[..12], USED),
        Err(BadProperty)
    );
}

#[test]
fn events_and_answers_are_read() {
    let fault = Fault::read([2 | (0x102 << 32), 0x28, 0x8000_0123]);
    assert_eq!(
        fault,
        Fault {
            reason: FaultReason::Mapping,
            endpoint: 0x28,
            write: Some(true),
            address: Some(0x8000_0123),
        }
    );
    let silent = Fault::read([1, 9, 7]);
    assert_eq!(
        (silent.reason.name(), silent.write, silent.address),
        ("no-domain", None, None)
    );
    assert_eq!(Fault::read([9, 0, 0]).reason, FaultReason::Other);
    assert_eq!(Status::read(0), Status::Done);
    assert_eq!(Status::read(8), Status::NoMemory);
    assert_eq!(Status::read(0xff), Status::Failed(0xff));
}

#[test]
fn ranges_count_only_with_their_features() {
    let config = Config {
        input: (1, 2),
        domains: (3, 4),
        ..Config::default()
    };
    assert_eq!(config.input(F_INPUT_RANGE), (1, 2));
    assert_eq!(config.input(!F_INPUT_RANGE), (0, u64::MAX));
    assert_eq!(config.domains(F_DOMAIN_RANGE), (3, 4));
    assert_eq!(config.domains(!F_DOMAIN_RANGE), (0, u32::MAX));
}

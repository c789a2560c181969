//! What is not believed: each reason once, with its counter, and nothing changed by it.

use net_config::dhcp4::Phase;
use net_config::{Refusal, Taken};
use proptest::prelude::*;
use units::Nanoseconds;

use crate::server::*;

type Change = fn(Answer) -> Answer;

/// An offer and an acknowledgement with one thing wrong.
const WRONG: &[(Refusal, Change)] = &[
    (Refusal::Ip4Checksum, |a| Answer {
        break_sum: Some(12),
        ..a
    }),
    (Refusal::Ip4Header, |a| Answer {
        break_sum: Some(0),
        ..a
    }),
    (Refusal::Ip4Fragment, |a| Answer {
        fragment: 0x2000,
        ..a
    }),
    (Refusal::UdpChecksum, |a| Answer {
        break_sum: Some(100),
        ..a
    }),
    (Refusal::UdpHeader, |a| Answer {
        break_sum: Some(24),
        ..a
    }),
    (Refusal::D4Port, |a| Answer {
        source_port: 68,
        ..a
    }),
    (Refusal::D4Header, |a| Answer { opcode: 1, ..a }),
    (Refusal::D4Header, |a| Answer {
        hardware_kind: 6,
        ..a
    }),
    (Refusal::D4Magic, |a| Answer {
        magic: [99, 130, 83, 98],
        ..a
    }),
    (Refusal::D4Transaction, |a| Answer {
        transaction: a.transaction ^ 1,
        ..a
    }),
    (Refusal::D4Hardware, |a| Answer {
        hardware: [2; 6],
        ..a
    }),
    (Refusal::D4Option, |a| Answer {
        tail: vec![12, 200, 1, 255],
        ..a
    }),
    (Refusal::D4Option, |a| Answer {
        tail: vec![12],
        ..a
    }),
    (Refusal::D4Option, |a| a.with(1, &[255, 255, 255])),
    (Refusal::D4Option, |a| a.with(51, &[1])),
    (Refusal::D4Option, |a| a.with(54, &[10, 0, 0, 1, 0])),
    (Refusal::D4Option, |a| a.with(58, &[0, 0])),
    (Refusal::D4Option, |a| a.with(53, &[2, 2])),
    (Refusal::D4Type, |a| a.with(53, &[])),
    (Refusal::D4Type, |a| a.with(53, &[1])),
    (Refusal::D4Type, |a| a.with(53, &[200])),
    (Refusal::D4Server, |a| a.with(54, &[])),
    (Refusal::D4Server, |a| a.with(54, &[255; 4])),
    (Refusal::D4Address, |a| Answer {
        address: [0; 4].into(),
        ..a
    }),
    (Refusal::D4Address, |a| Answer {
        address: [255; 4].into(),
        ..a
    }),
    (Refusal::D4Address, |a| Answer {
        address: [127, 0, 0, 1].into(),
        ..a
    }),
    (Refusal::D4Address, |a| Answer {
        address: [224, 0, 0, 9].into(),
        ..a
    }),
    (Refusal::D4Address, |a| Answer {
        address: [10, 0, 0, 255].into(),
        ..a
    }),
    (Refusal::D4Mask, |a| a.with(1, &[])),
    (Refusal::D4Mask, |a| a.with(1, &[255, 0, 255, 0])),
    (Refusal::D4Mask, |a| a.with(1, &[0; 4])),
    (Refusal::D4Lease, |a| a.with(51, &[])),
    (Refusal::D4Lease, |a| a.with(51, &[0; 4])),
    (Refusal::D4Lease, |a| a.with(51, &[0, 0, 0, 3])),
];

#[test]
fn an_offer_with_one_thing_wrong_is_not_taken() {
    for (number, (refusal, change)) in WRONG.iter().enumerate() {
        let (mut bench, discover) = Bench::discovering();
        let answer = change(Answer::new(OFFER, discover.transaction));
        assert_eq!(bench.give(&answer), Err(*refusal), "number {number}");
        assert_eq!(bench.client.counters().of(*refusal), 1);
        assert_eq!(bench.client.phase(), Phase::Selecting);
        // What is right is taken afterwards.
        bench
            .give(&Answer::new(OFFER, discover.transaction))
            .unwrap();
        assert_eq!(bench.next().kind, REQUEST);
    }
}

#[test]
fn an_acknowledgement_with_one_thing_wrong_is_not_taken() {
    for (number, (refusal, change)) in WRONG.iter().enumerate() {
        let (mut bench, request) = Bench::requesting();
        let answer = change(Answer::new(ACK, request.transaction));
        assert_eq!(bench.give(&answer), Err(*refusal), "number {number}");
        assert_eq!(bench.client.phase(), Phase::Requesting);
        assert!(bench.client.lease().is_none());
    }
}

#[test]
fn a_renewal_with_one_thing_wrong_leaves_the_lease() {
    for (number, (refusal, change)) in WRONG.iter().enumerate() {
        let mut bench = Bench::bound(120);
        let renewal = bench.next();
        let before = bench.client.lease().cloned();
        let answer = change(Answer::new(ACK, renewal.transaction));
        assert_eq!(bench.give(&answer), Err(*refusal), "number {number}");
        assert_eq!(bench.client.lease().cloned(), before);
    }
}

/// RFC 2131 section 4.4.1: what another server says to a request of ours, and what answers nothing.
#[test]
fn only_the_asked_server_answers_and_only_what_was_asked() {
    for kind in [ACK, NAK] {
        let (mut bench, request) = Bench::requesting();
        let answer = Answer::new(kind, request.transaction).with(54, &OTHER.octets());
        assert_eq!(bench.give(&answer), Err(Refusal::D4Server));
        assert_eq!(bench.client.phase(), Phase::Requesting);
        let (mut bench, discover) = Bench::discovering();
        let early = Answer::new(kind, discover.transaction);
        assert_eq!(bench.give(&early), Err(Refusal::D4Type));
    }
    let (mut bench, request) = Bench::requesting();
    assert_eq!(
        bench.give(&Answer::new(OFFER, request.transaction)),
        Err(Refusal::D4Type)
    );
    let mut bench = Bench::bound(120);
    for kind in [OFFER, ACK, NAK] {
        // Nothing was asked since, so no transaction is open.
        let late = Answer::new(kind, request.transaction);
        assert_eq!(bench.give(&late), Err(Refusal::D4Transaction));
    }
    assert_eq!(bench.client.phase(), Phase::Bound);
}

#[test]
fn an_answer_before_any_question_is_not_taken() {
    let mut bench = Bench::new(net_config::dhcp4::Probing::QUICK);
    assert_eq!(
        bench.give(&Answer::new(OFFER, 0)),
        Err(Refusal::D4Transaction)
    );
}

#[test]
fn another_address_than_was_asked_for_is_not_taken() {
    let (mut bench, request) = Bench::requesting();
    let answer = Answer {
        address: [10, 0, 0, 51].into(),
        ..Answer::new(ACK, request.transaction)
    };
    assert_eq!(bench.give(&answer), Err(Refusal::D4Address));
}

/// What is only partly wrong is used as far as it goes, and counted.
#[test]
fn contradictory_times_and_lists_are_mended() {
    let cases: [(Refusal, Change); 6] = [
        (Refusal::D4Times, |a| a.with(58, &119u32.to_be_bytes())),
        (Refusal::D4Times, |a| a.with(58, &[0; 4])),
        (Refusal::D4Times, |a| a.with(59, &121u32.to_be_bytes())),
        (Refusal::D4Routes, |a| a.with(6, &[10, 0, 0, 1, 10])),
        (Refusal::D4Routes, |a| {
            a.with(3, &[10, 0, 0, 1, 255, 255, 255, 255])
        }),
        (Refusal::D4Routes, |a| {
            a.with(121, &[33, 1, 2, 3, 4, 5, 10, 0, 0, 1])
        }),
    ];
    for (number, (refusal, change)) in cases.iter().enumerate() {
        let (mut bench, request) = Bench::requesting();
        let _ = bench
            .give(&change(Answer::new(ACK, request.transaction)))
            .unwrap();
        assert_eq!(bench.client.counters().of(*refusal), 1, "number {number}");
        bench.run(secs(1));
        let lease = bench.client.lease().unwrap();
        assert_eq!(lease.expires_at.since(lease.renew_at), secs(60));
        assert!(lease.servers.iter().all(|server| !server.is_broadcast()));
    }
}

#[test]
fn what_is_for_others_is_left_to_them() {
    let (mut bench, discover) = Bench::discovering();
    let mut packet = Answer::new(OFFER, discover.transaction).packet();
    packet[23] = 69;
    assert_eq!(bench.client.receive(bench.now, &packet), Ok(Taken::NotMine));
    packet[9] = 6;
    assert_eq!(bench.client.receive(bench.now, &packet), Ok(Taken::NotMine));
    assert_eq!(bench.client.counters().seen().count(), 0);
    assert_eq!(
        bench.client.receive_arp(bench.now, &[0; 27]),
        Err(Refusal::ArpMalformed)
    );
}

/// Options that a stranger wrote, more often than not of codes that mean something.
fn options() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let code = prop_oneof![
        prop::sample::select(vec![1u8, 3, 6, 26, 51, 53, 54, 58, 59, 121]),
        any::<u8>()
    ];
    let value = prop::collection::vec(any::<u8>(), 0..12);
    prop::collection::vec((code, value), 0..12)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_go_on_without_end(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..8),
        spans in prop::collection::vec(0u64..200_000_000_000, 8),
    ) {
        let (mut bench, _) = Bench::discovering();
        for (packet, span) in packets.iter().zip(spans) {
            let _ = bench.client.receive(bench.now, packet);
            let _ = bench.client.receive_arp(bench.now, packet);
            bench.now = bench.now.saturating_add(Nanoseconds::new(span));
            bench.sent();
        }
        prop_assert!(bench.client.lease().is_none());
    }

    /// Whoever does not see the transaction cannot move the client, whatever else the message says.
    #[test]
    fn a_forged_transaction_reaches_no_state(
        options in options(), kind in 0u8..9, wrong in 1u32.., phase in 0..3,
    ) {
        let (mut bench, seen) = match phase {
            0 => Bench::discovering(),
            1 => Bench::requesting(),
            _ => {
                let mut bench = Bench::bound(120);
                let seen = bench.next();
                (bench, seen)
            }
        };
        let before = (bench.client.phase(), bench.client.lease().cloned(), bench.client.deadline());
        let mut answer = Answer::new(kind, seen.transaction ^ wrong);
        answer.options.extend(options);
        let refused = bench.give(&answer);
        prop_assert_eq!(refused, Err(Refusal::D4Transaction));
        prop_assert_eq!(before, (bench.client.phase(), bench.client.lease().cloned(), bench.client.deadline()));
    }

    /// Whatever a server says, what is taken can be used: an address of a host, times in order, lists within bounds.
    #[test]
    fn what_is_taken_can_be_used(options in options(), last in any::<u8>()) {
        let (mut bench, request) = Bench::requesting();
        let mut answer = Answer::new(ACK, request.transaction);
        answer.address = [10, 0, 0, last].into();
        answer.options.extend(options);
        if bench.give(&answer).is_ok() {
            bench.run(Nanoseconds::from_millis(300));
        }
        if let Some(lease) = bench.client.lease() {
            prop_assert_eq!(lease.address, ADDRESS);
            prop_assert!(lease.prefix >= 1 && lease.prefix <= 32);
            prop_assert!(lease.renew_at <= lease.rebind_at && lease.rebind_at <= lease.expires_at);
            prop_assert!(lease.routes.iter().all(|route| route.prefix <= 32 && !route.router.is_broadcast()));
        }
    }
}

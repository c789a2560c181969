//! The client of DHCPv6: RFC 8415.

use std::net::Ipv6Addr;

use net_config::dhcp6::Phase;
use net_config::ipv6::{Origin, Standing};
use net_config::{Refusal, Taken};

use crate::peer::*;

/// RFC 8415 sections 18.2.1 to 18.2.5, from the flag of the router to the end of the lease.
#[test]
fn an_address_is_got_renewed_rebound_and_lost() {
    let (mut bench, solicit) = Bench::soliciting();
    let own = bench.of(Origin::LinkLocal).unwrap().address;
    assert_eq!(
        (solicit.source, solicit.target),
        (own, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2))
    );
    assert_eq!(
        (solicit.option(1), solicit.option(2)),
        (Some(&IDENTIFIER[..]), None)
    );
    assert_eq!(solicit.option(8), Some(&[0, 0][..]));
    assert_eq!(solicit.option(3).unwrap()[..4], IDENTITY);
    assert_eq!(
        bench.give(&Answer::new(2, solicit.transaction())),
        Ok(Taken::Yes)
    );
    let request = bench.until(REQUEST);
    assert_eq!(request.option(2), Some(&SERVER[..]));
    assert_ne!(request.transaction(), solicit.transaction());
    assert_eq!(
        bench.give(&Answer::new(7, request.transaction())),
        Ok(Taken::Yes)
    );
    let at = bench.now;
    let address = bench.of(Origin::Dhcp).unwrap();
    assert_eq!(
        (address.address, address.prefix, address.standing),
        (GIVEN, 128, Standing::Tentative)
    );
    let probe = bench.until(SOLICITATION);
    assert_eq!(probe.target, group(GIVEN));
    bench.run(secs(1));
    assert_eq!(
        bench.of(Origin::Dhcp).unwrap().standing,
        Standing::Preferred
    );
    assert_eq!(bench.host.servers().collect::<Vec<_>>(), [NAMES]);
    // V6-05: the route is the router's, the server gives none.
    assert_eq!(bench.host.routers()[0].address, ROUTER);

    let renew = bench.until(RENEW);
    assert_eq!(renew.at, at.saturating_add(secs(50)));
    assert_eq!(renew.option(2), Some(&SERVER[..]));
    assert_eq!(renew.option(3).unwrap()[16..32], GIVEN.octets());
    let rebind = bench.until(REBIND);
    assert_eq!(
        (rebind.at, rebind.option(2)),
        (at.saturating_add(secs(80)), None)
    );
    bench.run(secs(20));
    assert_eq!(
        bench.of(Origin::Dhcp).unwrap().standing,
        Standing::Deprecated
    );
    bench.run(secs(20));
    assert!(bench.of(Origin::Dhcp).is_none() && bench.host.lease().is_none());
    assert_eq!(bench.host.dhcp_phase(), Phase::Soliciting);
}

#[test]
fn a_renewal_and_another_servers_rebinding_extend_it() {
    let mut bench = Bench::bound(100, 120);
    let renew = bench.until(RENEW);
    bench.give(&Answer::new(7, renew.transaction())).unwrap();
    assert_eq!(
        bench.of(Origin::Dhcp).unwrap().valid_until,
        bench.now.saturating_add(secs(120))
    );
    assert_eq!(
        bench.of(Origin::Dhcp).unwrap().standing,
        Standing::Preferred
    );
    let rebind = bench.until(REBIND);
    let rival = Answer {
        server: Some(RIVAL.to_vec()),
        ..Answer::new(7, rebind.transaction())
    };
    bench.give(&rival).unwrap();
    assert_eq!(bench.host.lease().unwrap().server[..], RIVAL);
}

/// RFC 8415 section 18.2.9: the best of the first wait; one of highest preference at once.
#[test]
fn the_preferred_server_is_asked() {
    let (mut bench, solicit) = Bench::soliciting();
    let advertise = |server: [u8; 10], preference: u8| Answer {
        server: Some(server.to_vec()),
        more: option(7, &[preference]),
        ..Answer::new(2, solicit.transaction())
    };
    bench.give(&advertise(SERVER, 1)).unwrap();
    bench.give(&advertise(RIVAL, 2)).unwrap();
    bench.give(&advertise(SERVER, 2)).unwrap();
    assert!(bench.sent().is_empty());
    let request = bench.until(REQUEST);
    assert!(request.at >= solicit.at.saturating_add(secs(1)));
    assert_eq!(request.option(2), Some(&RIVAL[..]));

    let (mut bench, solicit) = Bench::soliciting();
    let best = Answer {
        more: option(7, &[255]),
        ..Answer::new(2, solicit.transaction())
    };
    bench.give(&best).unwrap();
    assert_eq!(bench.sent()[0].kind(), REQUEST);
}

/// RFC 8415 section 18.2.8: five messages at most, then everything begins anew.
#[test]
fn an_address_that_somebody_has_is_declined() {
    let (mut bench, request) = Bench::requesting();
    bench.give(&Answer::new(7, request.transaction())).unwrap();
    bench.until(SOLICITATION);
    assert_eq!(bench.take(&had(GIVEN, 0x20)), Ok(Taken::Yes));
    assert!(bench.of(Origin::Dhcp).is_none());
    let decline = bench.until(DECLINE);
    assert_eq!(decline.option(2), Some(&SERVER[..]));
    assert_eq!(decline.option(3).unwrap()[16..32], GIVEN.octets());
    let rest = bench.run(secs(60));
    let declines = rest.iter().filter(|seen| seen.kind() == DECLINE).count();
    assert_eq!(declines, 3, "four in all");
    assert!(rest.iter().any(|seen| seen.kind() == SOLICIT));
}

/// RFC 8415 section 18.2.7.
#[test]
fn a_released_address_is_gone() {
    let mut bench = Bench::bound(100, 120);
    bench.host.release(bench.now);
    assert!(bench.of(Origin::Dhcp).is_none());
    let release = bench.until(RELEASE);
    assert_eq!(release.option(3).unwrap()[16..32], GIVEN.octets());
    let done = Answer {
        has_association: false,
        ..Answer::new(7, release.transaction())
    };
    assert_eq!(bench.give(&done), Ok(Taken::Yes));
    assert_eq!(bench.host.dhcp_phase(), Phase::Idle);
}

/// RFC 8415 sections 18.2.6 and 21.23.
#[test]
fn name_servers_alone_are_asked_for_and_refreshed() {
    let mut bench = Bench::ready();
    bench
        .advertise(&Advertisement {
            lifetime: 9000,
            ..Advertisement::new(0x40)
        })
        .unwrap();
    let asked = bench.until(INFORMATION_REQUEST);
    assert!(asked.option(3).is_none());
    let mut answer = Answer {
        has_association: false,
        ..Answer::new(7, asked.transaction())
    };
    answer.more.extend(option(32, &700u32.to_be_bytes()));
    bench.give(&answer).unwrap();
    assert_eq!(
        (bench.host.dhcp_phase(), bench.host.servers().next()),
        (Phase::Informed, Some(NAMES))
    );
    let at = bench.now;
    let again = bench.until(INFORMATION_REQUEST);
    assert!(again.at >= at.saturating_add(secs(700)) && again.at <= at.saturating_add(secs(701)));
}

/// RFC 8415 section 15, with the bounds of section 7.6.
#[test]
fn questions_become_rarer() {
    let (mut bench, first) = Bench::soliciting();
    let mut last = first.at;
    for wait in [1u64, 2, 4, 8, 16, 32] {
        let seen = bench.until(SOLICIT);
        let span = seen.at.since(last).as_u64() as f64 / 1e9;
        // Each is double what the last one was, which was off by a tenth already.
        assert!(
            span > wait as f64 * 0.5 && span < wait as f64 * 1.9,
            "{span} for {wait}"
        );
        assert_eq!(seen.transaction(), first.transaction());
        last = seen.at;
    }
    let elapsed = bench.until(SOLICIT).option(8).unwrap().to_vec();
    assert!(u16::from_be_bytes([elapsed[0], elapsed[1]]) > 3000);
    let (mut bench, _) = Bench::requesting();
    let all = bench.run(secs(400));
    assert_eq!(
        all.iter().filter(|seen| seen.kind() == REQUEST).count(),
        9,
        "ten in all"
    );
}

/// RFC 8415 section 18.2.10.1.
#[test]
fn a_server_that_has_nothing_or_forgot_us_is_left() {
    for status in [2, 4] {
        let (mut bench, request) = Bench::requesting();
        let answer = Answer {
            status,
            address: None,
            ..Answer::new(7, request.transaction())
        };
        bench.give(&answer).unwrap();
        assert_eq!(bench.host.dhcp_phase(), Phase::Soliciting);
    }
    let mut bench = Bench::bound(100, 120);
    let renew = bench.until(RENEW);
    bench
        .give(&Answer {
            status: 3,
            address: None,
            ..Answer::new(7, renew.transaction())
        })
        .unwrap();
    assert_eq!(bench.until(REQUEST).option(2), Some(&SERVER[..]));
    let mut bench = Bench::bound(100, 120);
    let renew = bench.until(RENEW);
    bench
        .give(&Answer {
            address: Some((GIVEN, 0, 0)),
            ..Answer::new(7, renew.transaction())
        })
        .unwrap();
    assert!(bench.of(Origin::Dhcp).is_none());
}

/// RFC 8415 section 21.4: what the server says of T1 and T2 counts.
#[test]
fn stated_times_count() {
    let (mut bench, request) = Bench::requesting();
    bench
        .give(&Answer {
            times: (10, 20),
            ..Answer::new(7, request.transaction())
        })
        .unwrap();
    let at = bench.now;
    assert_eq!(bench.until(RENEW).at, at.saturating_add(secs(10)));
    assert_eq!(bench.until(REBIND).at, at.saturating_add(secs(20)));
    let (mut bench, request) = Bench::requesting();
    let forever = Some((GIVEN, u32::MAX, u32::MAX));
    bench
        .give(&Answer {
            address: forever,
            ..Answer::new(7, request.transaction())
        })
        .unwrap();
    let lease = bench.host.lease().unwrap();
    assert!(
        lease.valid_until.is_never() && lease.renew_at.is_never() && lease.rebind_at.is_never()
    );
}

type Change = fn(Answer) -> Answer;

/// The refusals of V6-05, each by name.
const WRONG: &[(Refusal, Change)] = &[
    (Refusal::D6Source, |a| Answer { source: GIVEN, ..a }),
    (Refusal::D6Port, |a| Answer { port: 546, ..a }),
    (Refusal::D6Type, |a| Answer { kind: 1, ..a }),
    (Refusal::D6Type, |a| Answer { kind: 13, ..a }),
    (Refusal::D6Transaction, |a| Answer {
        transaction: [!a.transaction[0], 0, 0],
        ..a
    }),
    (Refusal::D6Client, |a| Answer { client: None, ..a }),
    (Refusal::D6Client, |a| Answer {
        client: Some(RIVAL.to_vec()),
        ..a
    }),
    (Refusal::D6Server, |a| Answer { server: None, ..a }),
    (Refusal::D6Server, |a| Answer {
        server: Some(vec![0, 3]),
        ..a
    }),
    (Refusal::D6Oversized, |a| Answer {
        server: Some(vec![1; 131]),
        ..a
    }),
    (Refusal::D6Oversized, |a| Answer {
        more: option(99, &[]).repeat(65),
        ..a
    }),
    (Refusal::D6Option, |a| Answer {
        more: option(2, &SERVER),
        ..a
    }),
    (Refusal::D6Option, |a| Answer {
        more: vec![0, 99, 0, 9, 1],
        ..a
    }),
    (Refusal::D6Option, |a| Answer {
        more: vec![0, 99, 0],
        ..a
    }),
    (Refusal::D6Option, |a| Answer {
        more: option(23, &[0; 17]),
        ..a
    }),
    (Refusal::D6Option, |a| Answer {
        more: option(7, &[1, 2]),
        ..a
    }),
    (Refusal::D6Option, |a| Answer {
        more: option(13, &[1]),
        ..a
    }),
    (Refusal::D6Association, |a| Answer {
        identity: [9; 4],
        ..a
    }),
    (Refusal::D6Times, |a| Answer {
        times: (20, 10),
        ..a
    }),
    (Refusal::D6NoAddress, |a| Answer { address: None, ..a }),
];

#[test]
fn an_advertisement_with_one_thing_wrong_is_not_taken() {
    for (number, (refusal, change)) in WRONG.iter().enumerate() {
        let (mut bench, solicit) = Bench::soliciting();
        let answer = change(Answer::new(2, solicit.transaction()));
        assert_eq!(bench.give(&answer), Err(*refusal), "number {number}");
        assert_eq!(bench.count(*refusal), 1);
        assert_eq!(bench.host.dhcp_phase(), Phase::Soliciting);
        let seen = bench.run(secs(3));
        assert!(
            seen.iter().all(|seen| seen.kind() == SOLICIT),
            "number {number}"
        );
    }
}

#[test]
fn a_reply_with_one_thing_wrong_is_not_taken() {
    let more: [(Refusal, Change); 2] = [
        (Refusal::D6Server, |a| Answer {
            server: Some(RIVAL.to_vec()),
            ..a
        }),
        (Refusal::D6Type, |a| Answer { kind: 2, ..a }),
    ];
    for (number, (refusal, change)) in WRONG.iter().chain(&more).enumerate() {
        let (mut bench, request) = Bench::requesting();
        let answer = change(Answer::new(7, request.transaction()));
        assert_eq!(bench.give(&answer), Err(*refusal), "number {number}");
        assert!(bench.of(Origin::Dhcp).is_none());
        let mut bench = Bench::bound(100, 120);
        let renew = bench.until(RENEW);
        let before = (bench.host.lease().cloned(), bench.of(Origin::Dhcp));
        let answer = change(Answer::new(7, renew.transaction()));
        assert_eq!(bench.give(&answer), Err(*refusal), "number {number}");
        assert_eq!(
            (bench.host.lease().cloned(), bench.of(Origin::Dhcp)),
            before
        );
    }
}

/// RFC 8415 section 21.6: an address that contradicts itself is passed over; without another there is none.
#[test]
fn an_address_with_one_thing_wrong_is_passed_over() {
    let cases = [
        (Refusal::D6Lifetimes, (GIVEN, 121, 120)),
        (Refusal::D6Address, (Ipv6Addr::UNSPECIFIED, 100, 120)),
        (Refusal::D6Address, (ALL_NODES, 100, 120)),
        (Refusal::D6Address, (ROUTER, 100, 120)),
        (Refusal::D6Address, (Ipv6Addr::LOCALHOST, 100, 120)),
    ];
    for (refusal, address) in cases {
        let (mut bench, request) = Bench::requesting();
        let answer = Answer {
            address: Some(address),
            ..Answer::new(7, request.transaction())
        };
        assert_eq!(bench.give(&answer), Err(Refusal::D6NoAddress));
        assert_eq!(bench.count(refusal), 1);
    }
    let mut bench = Bench::bound(100, 120);
    let renew = bench.until(RENEW);
    let other = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x101);
    let answer = Answer {
        address: Some((other, 100, 120)),
        ..Answer::new(7, renew.transaction())
    };
    assert_eq!(bench.give(&answer), Err(Refusal::D6Address));
}

/// V6-05, timeout: without a server nothing is had, and asking goes on with a bounded number of messages.
#[test]
fn without_a_server_asking_goes_on_seldom() {
    let (mut bench, _) = Bench::soliciting();
    let seen = bench.run(secs(100_000));
    assert!(seen.len() > 20 && seen.len() < 60, "{}", seen.len());
}

#[test]
fn an_answer_to_nothing_is_not_taken() {
    let mut bench = Bench::ready();
    assert_eq!(
        bench.give(&Answer::new(7, [0; 3])),
        Err(Refusal::D6Transaction)
    );
    let mut packet = Answer::new(7, [0; 3]).packet();
    packet[46..48].copy_from_slice(&[0, 0]);
    assert_eq!(
        bench.take(&packet),
        Err(Refusal::UdpChecksum),
        "RFC 8200 section 8.1"
    );
    assert_eq!(
        bench.take(&udp(ROUTER, 547, &[7, 0])),
        Err(Refusal::D6Header)
    );
}

//! The link-local address, and the look for duplicates.

use std::net::Ipv6Addr;

use net_config::Taken;
use net_config::ipv6::{Origin, Standing};

use crate::peer::*;

/// RFC 4862 section 5.4.2 and RFC 7527: one solicitation from nobody, a second of silence, and the address is ours; then
/// RFC 4861 section 6.3.7: routers are asked.
#[test]
fn a_link_local_address_is_looked_for_before_it_is_used() {
    let mut bench = Bench::new();
    let own = bench.of(Origin::LinkLocal).unwrap();
    assert_eq!((own.standing, own.prefix), (Standing::Tentative, 64));
    assert!(own.address.is_unicast_link_local());
    assert!(
        bench
            .host
            .groups()
            .any(|joined| joined == group(own.address))
    );
    let probe = bench.until(SOLICITATION);
    assert!(bench.now <= secs(1));
    assert_eq!(
        (probe.source, probe.target),
        (Ipv6Addr::UNSPECIFIED, group(own.address))
    );
    assert_eq!(
        (probe.hop_limit, &probe.body[8..24]),
        (255, &own.address.octets()[..])
    );
    assert_eq!(probe.body[24..26], [14, 1]);
    let solicitation = bench.until(ROUTER_SOLICITATION);
    assert_eq!(solicitation.at, probe.at.saturating_add(secs(1)));
    assert_eq!(
        (solicitation.source, solicitation.hop_limit),
        (own.address, 255)
    );
    assert_eq!(
        solicitation.target,
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2)
    );
    assert_eq!(solicitation.body[8..], [1, 1, 2, 0, 0, 0, 0, 7]);
    assert_eq!(
        bench.of(Origin::LinkLocal).unwrap().standing,
        Standing::Preferred
    );
}

/// RFC 7559 section 2: routers are asked for ever, ever more seldom.
#[test]
fn routers_are_asked_ever_more_seldom() {
    let mut bench = Bench::ready();
    let mut last = bench.now;
    let mut longest = secs(0);
    for wait in [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] {
        let at = bench.until(ROUTER_SOLICITATION).at;
        longest = at.since(last);
        assert!(
            longest >= secs(wait * 9 / 10) && longest <= secs(wait * 11 / 10 + 1),
            "{longest} for {wait}"
        );
        last = at;
    }
    assert!(longest > secs(3000));
}

/// RFC 4862 section 5.4.3 and 5.4.4, RFC 7217 section 6: another identifier, three times; then none.
#[test]
fn an_address_that_somebody_has_is_replaced_three_times() {
    let mut bench = Bench::new();
    let mut tried = Vec::new();
    for round in 0..4 {
        let target = bench.of(Origin::LinkLocal).unwrap().address;
        assert!(!tried.contains(&target));
        tried.push(target);
        bench.until(SOLICITATION);
        let packet = if round % 2 == 0 {
            had(target, 0x20)
        } else {
            wanted(target, &[])
        };
        assert_eq!(bench.take(&packet), Ok(Taken::Yes));
    }
    assert_eq!(
        bench.of(Origin::LinkLocal).unwrap().standing,
        Standing::Duplicate
    );
    // RFC 4862 section 5.4.5: IPv6 is off on this interface.
    assert!(bench.run(secs(10_000)).is_empty());
}

/// RFC 7527 section 4.2: our own solicitation that a switch sends back says nothing.
#[test]
fn our_own_solicitation_is_no_conflict() {
    let mut bench = Bench::new();
    let own = bench.of(Origin::LinkLocal).unwrap().address;
    let probe = bench.until(SOLICITATION);
    let echo = icmp(probe.source, probe.target, 255, &probe.body);
    assert_eq!(bench.take(&echo), Ok(Taken::NotMine));
    let foreign = wanted(own, &[14, 1, 1, 2, 3, 4, 5, 6]);
    assert_eq!(bench.take(&foreign), Ok(Taken::Yes));
    assert_ne!(bench.of(Origin::LinkLocal).unwrap().address, own);
}

/// RFC 4861 section 7: what is about resolving addresses is for somebody else, and an address in use is not taken away.
#[test]
fn an_address_in_use_stays() {
    let mut bench = Bench::ready();
    let own = bench.of(Origin::LinkLocal).unwrap().address;
    for packet in [
        had(own, 0x20),
        wanted(own, &[]),
        had(OTHER, 0x20),
        wanted(OTHER, &[]),
    ] {
        assert_eq!(bench.take(&packet), Ok(Taken::NotMine));
    }
    assert_eq!(
        bench.of(Origin::LinkLocal).unwrap().standing,
        Standing::Preferred
    );
}

/// RFC 7217 section 5: the same network gives the same address after a restart.
#[test]
fn addresses_are_stable() {
    let address = |net: u16| {
        let mut bench = Bench::ready();
        let prefix = Ipv6Addr::new(0xfd77, 0, 0, net, 0, 0, 0, 0);
        bench
            .advertise(&Advertisement::new(0).prefix(prefix, 600, 300))
            .unwrap();
        bench.of(Origin::Advertised).unwrap().address
    };
    assert_eq!(address(1), address(1));
    assert_ne!(address(1).segments()[4..], address(2).segments()[4..]);
}

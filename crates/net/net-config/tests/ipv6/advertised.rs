//! What routers advertise: RFC 4861, RFC 4862, RFC 4191, RFC 8106.

use std::net::Ipv6Addr;

use net_config::Refusal;
use net_config::dhcp6::Phase;
use net_config::ipv6::{MOST_PREFIXES, MOST_ROUTERS, MOST_SERVERS, Origin, Standing};

use crate::peer::*;

/// RFC 4861 section 6.3.4 and RFC 4862 section 5.5: all that an advertisement gives, and the end of each.
#[test]
fn an_advertisement_gives_an_address_a_route_and_servers_each_for_its_time() {
    let mut bench = Bench::ready();
    let advertisement = Advertisement::new(0)
        .with(&[1, 1, 2, 0, 0, 0, 0, 1])
        .prefix(PREFIX, 9000, 600)
        .with(&mtu_option(1400))
        .with(&server_option(900, &[NAMES]));
    bench.advertise(&advertisement).unwrap();
    let at = bench.now;
    let address = bench.of(Origin::Advertised).unwrap();
    assert_eq!(
        (address.standing, address.prefix),
        (Standing::Tentative, 64)
    );
    assert_eq!(address.address.segments()[..4], PREFIX.segments()[..4]);
    bench.run(secs(2));
    assert_eq!(
        bench.of(Origin::Advertised).unwrap().standing,
        Standing::Preferred
    );
    assert_eq!(
        (bench.host.routers().len(), bench.host.routers()[0].address),
        (1, ROUTER)
    );
    assert_eq!((bench.host.mtu(), bench.host.hop_limit()), (1400, 61));
    assert_eq!(bench.host.servers().collect::<Vec<_>>(), [NAMES]);
    assert_eq!(bench.host.prefixes()[0].prefix, PREFIX);
    assert_eq!(bench.host.dhcp_phase(), Phase::Idle);

    let mut ends = [(600, 0), (900, 0), (1800, 0), (9000, 0)];
    for (seconds, changes) in &mut ends {
        let end = at.saturating_add(secs(*seconds));
        bench.run(end.since(bench.now).since(secs(1)));
        let before = bench.host.changes();
        bench.run(secs(1));
        *changes = bench.host.changes() - before;
    }
    // Deprecated; no name server; no router; no prefix and no address.
    assert_eq!(ends.map(|(_, changes)| changes), [1, 1, 1, 2]);
    assert!(bench.of(Origin::Advertised).is_none() && bench.host.routers().is_empty());
    assert_eq!(
        bench.host.servers().count() + bench.host.prefixes().len(),
        0
    );
}

/// RFC 4862 section 5.5.3 (e): whoever forges an advertisement cannot end an address within two hours.
#[test]
fn a_valid_lifetime_is_not_cut_below_two_hours() {
    let mut bench = Bench::ready();
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, 86_400, 600))
        .unwrap();
    let left = |bench: &Bench| {
        bench
            .of(Origin::Advertised)
            .unwrap()
            .valid_until
            .since(bench.now)
    };
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, 0, 0))
        .unwrap();
    assert_eq!(
        (left(&bench), bench.count(Refusal::RaShortened)),
        (secs(7200), 1)
    );
    assert_eq!(
        bench.of(Origin::Advertised).unwrap().preferred_until,
        bench.now
    );
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, 60, 60))
        .unwrap();
    assert_eq!(
        (left(&bench), bench.count(Refusal::RaShortened)),
        (secs(7200), 2)
    );
    bench.run(secs(1000));
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, 60, 60))
        .unwrap();
    assert_eq!(left(&bench), secs(6200), "nor made longer by that");
    bench.run(secs(6000));
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, 250, 60))
        .unwrap();
    assert_eq!(left(&bench), secs(250));
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, u32::MAX, u32::MAX))
        .unwrap();
    assert!(bench.of(Origin::Advertised).unwrap().valid_until.is_never());
}

/// RFC 4861 section 6.3.4: a router that is none any more goes at once, and others are asked for.
#[test]
fn a_router_takes_itself_back() {
    let mut bench = Bench::ready();
    bench.advertise(&Advertisement::new(0)).unwrap();
    assert!(bench.run(secs(1000)).is_empty());
    let over = Advertisement {
        lifetime: 0,
        ..Advertisement::new(0)
    };
    bench.advertise(&over).unwrap();
    assert!(bench.host.routers().is_empty());
    bench.until(ROUTER_SOLICITATION);
}

/// RFC 4191 section 2.1.
#[test]
fn the_preferred_router_is_first() {
    let mut bench = Bench::ready();
    for (last, flags) in [(1, 0), (2, 0x18), (3, 0x08), (4, 0x10)] {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
        bench
            .advertise(&Advertisement {
                source,
                ..Advertisement::new(flags)
            })
            .unwrap();
    }
    let order = bench
        .host
        .routers()
        .iter()
        .map(|router| (router.address.segments()[7], router.preference));
    assert_eq!(order.collect::<Vec<_>>(), [(3, 1), (1, 0), (4, 0), (2, -1)]);
}

/// RFC 4861 section 4.2 and RFC 8415: the flags say what is asked for.
#[test]
fn the_flags_say_what_is_asked_for() {
    for (flags, kind) in [
        (0x80, SOLICIT),
        (0xc0, SOLICIT),
        (0x40, INFORMATION_REQUEST),
    ] {
        let mut bench = Bench::ready();
        bench.advertise(&Advertisement::new(flags)).unwrap();
        let first = bench.run(secs(2)).remove(0);
        assert_eq!(first.kind(), kind);
    }
}

type Change = fn(Advertisement) -> Advertisement;

/// RFC 4861 section 6.1.2: what makes the whole advertisement void.
#[test]
fn a_malformed_advertisement_changes_nothing() {
    let cases: [(Refusal, Change); 8] = [
        (Refusal::NdHopLimit, |a| Advertisement { hops: 254, ..a }),
        (Refusal::NdCode, |a| Advertisement { code: 1, ..a }),
        (Refusal::RaSource, |a| Advertisement { source: GIVEN, ..a }),
        (Refusal::RaSource, |a| Advertisement {
            source: Ipv6Addr::UNSPECIFIED,
            ..a
        }),
        (Refusal::NdOption, |a| a.with(&[5, 0, 0, 0, 0, 0, 5, 0])),
        (Refusal::NdOption, |a| a.with(&[5, 2, 0, 0, 0, 0, 5, 0])),
        (Refusal::NdOption, |a| a.with(&[5])),
        (Refusal::NdOptionMany, |a| {
            a.with(&[200, 1, 0, 0, 0, 0, 0, 0].repeat(65))
        }),
    ];
    for (number, (refusal, change)) in cases.iter().enumerate() {
        let mut bench = Bench::ready();
        let before = (bench.host.changes(), bench.host.deadline());
        let good = Advertisement::new(0xc0).prefix(PREFIX, 600, 300);
        assert_eq!(
            bench.advertise(&change(good)),
            Err(*refusal),
            "number {number}"
        );
        assert_eq!((bench.host.changes(), bench.host.deadline()), before);
        assert_eq!(bench.count(*refusal), 1);
        assert!(bench.host.routers().is_empty() && bench.of(Origin::Advertised).is_none());
    }
    let mut bench = Bench::ready();
    let mut packet = Advertisement::new(0).packet();
    packet[46] ^= 1;
    assert_eq!(bench.take(&packet), Err(Refusal::Icmp6Checksum));
    let short = icmp(ROUTER, ALL_NODES, 255, &[134, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.take(&short), Err(Refusal::Icmp6Short));
    // RFC 6980: a first fragment of one.
    let mut fragment = Advertisement::new(0).packet();
    fragment[6] = 44;
    fragment.splice(40..40, [58, 0, 0, 1, 0, 0, 0, 9]);
    fragment[5] += 8;
    assert_eq!(bench.take(&fragment), Err(Refusal::NdFragment));
}

/// RFC 4861 sections 4.6 and 6.3.4, RFC 4862 section 5.5.3: an option that is wrong is passed over, and the rest is not.
#[test]
fn a_wrong_option_is_passed_over_by_name() {
    let cases: [(Refusal, Vec<u8>); 13] = [
        (Refusal::RaOption, vec![3, 1, 64, 0xc0, 0, 0, 0, 0]),
        (
            Refusal::RaOption,
            [mtu_option(1400), vec![0; 8]]
                .concat()
                .into_iter()
                .enumerate()
                .map(|(at, byte)| if at == 1 { 2 } else { byte })
                .collect(),
        ),
        (Refusal::RaOption, vec![25, 1, 0, 0, 0, 0, 0, 9]),
        (Refusal::RaOption, [vec![25, 2], vec![0; 14]].concat()),
        (
            Refusal::RaPrefix,
            prefix_option(
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
                64,
                ALL,
                600,
                300,
            ),
        ),
        (
            Refusal::RaPrefix,
            prefix_option(ALL_NODES, 64, ALL, 600, 300),
        ),
        (Refusal::RaPrefix, prefix_option(PREFIX, 129, ALL, 600, 300)),
        (
            Refusal::RaPrefixLength,
            prefix_option(PREFIX, 48, 0x40, 600, 300),
        ),
        (
            Refusal::RaLifetimes,
            prefix_option(PREFIX, 64, ALL, 300, 301),
        ),
        (Refusal::RaMtu, mtu_option(1279)),
        (Refusal::RaMtu, mtu_option(1501)),
        (Refusal::RaDns, server_option(600, &[ALL_NODES])),
        (Refusal::RaDns, server_option(600, &[Ipv6Addr::UNSPECIFIED])),
    ];
    for (number, (refusal, option)) in cases.iter().enumerate() {
        let mut bench = Bench::ready();
        bench
            .advertise(&Advertisement::new(0).with(option))
            .unwrap();
        assert_eq!(bench.count(*refusal), 1, "number {number}");
        assert!(bench.of(Origin::Advertised).is_none(), "number {number}");
        assert_eq!((bench.host.mtu(), bench.host.servers().count()), (1500, 0));
        assert_eq!(bench.host.routers().len(), 1);
    }
}

/// However much is advertised, no more is kept, and what was there first stays.
#[test]
fn a_flood_of_advertisements_fills_nothing_but_its_tables() {
    let mut bench = Bench::ready();
    for number in 0..500u16 {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
        let prefix = Ipv6Addr::new(0xfd77, 0, 0, number, 0, 0, 0, 0);
        let advertisement = Advertisement {
            source,
            ..Advertisement::new(0)
        }
        .prefix(prefix, 9000, 9000)
        .with(&server_option(
            9000,
            &[Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number + 1)],
        ));
        bench.advertise(&advertisement).unwrap();
    }
    bench.run(secs(5));
    assert_eq!(
        (bench.host.routers().len(), bench.host.prefixes().len()),
        (MOST_ROUTERS, MOST_PREFIXES)
    );
    assert_eq!(bench.host.servers().count(), MOST_SERVERS);
    assert!(bench.count(Refusal::RaFull) > 1000);
    assert_eq!(bench.host.routers()[0].address.segments()[7], 0);
    assert_eq!(
        bench.of(Origin::Advertised).unwrap().address.segments()[3],
        0
    );
}

//! What happens with a server that does as RFC 2131 says.

use std::net::{IpAddr, Ipv4Addr};

use net_config::dhcp4::{Phase, Probing, Route};
use net_config::{Hop, Refusal, Taken};
use units::Nanoseconds;

use crate::server::*;

/// RFC 2131 section 3.1 and figure 5, from nothing to an expired lease.
#[test]
fn a_lease_is_got_renewed_rebound_and_lost() {
    let (mut bench, request) = Bench::requesting();
    assert_eq!(request.option(50), Some(&ADDRESS.octets()[..]));
    assert_eq!(request.option(54), Some(&SERVER.octets()[..]));
    assert_eq!(
        (request.source, request.target),
        (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)
    );
    let asked = bench.now;
    bench.give(&Answer::new(ACK, request.transaction)).unwrap();
    assert_eq!(bench.client.phase(), Phase::Probing);
    assert!(bench.client.lease().is_none(), "not before nobody objected");
    bench.run(secs(1));
    assert_eq!(bench.client.phase(), Phase::Bound);
    let lease = bench.client.lease().unwrap().clone();
    assert_eq!(
        (lease.address, lease.prefix, lease.server),
        (ADDRESS, 24, SERVER)
    );
    assert_eq!(lease.servers[..], [SERVER, OTHER]);
    assert_eq!(
        lease.routes[0],
        Route {
            target: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            router: SERVER
        }
    );
    // Section 4.4.5: T1 and T2 count from the request.
    assert_eq!(lease.renew_at, asked.saturating_add(secs(60)));
    assert_eq!(lease.rebind_at, asked.saturating_add(secs(105)));
    assert_eq!(lease.expires_at, asked.saturating_add(secs(120)));

    let renewal = bench.next();
    assert_eq!((bench.now, renewal.kind), (lease.renew_at, REQUEST));
    // Section 4.3.2: a renewal goes to the server, from the address, with neither of the two options.
    assert_eq!(
        (renewal.source, renewal.target, renewal.client),
        (ADDRESS, SERVER, ADDRESS)
    );
    assert_eq!(renewal.hop, Hop::Host(IpAddr::V4(SERVER)));
    assert!(renewal.option(50).is_none() && renewal.option(54).is_none());

    let rest = bench.run(lease.rebind_at.since(bench.now));
    assert!(!rest.is_empty() && rest.len() < 8);
    let (at, rebinding) = rest.last().unwrap();
    assert_eq!(
        (*at, rebinding.target, rebinding.client),
        (lease.rebind_at, Ipv4Addr::BROADCAST, ADDRESS)
    );
    assert_eq!(bench.client.phase(), Phase::Rebinding);

    let changes = bench.client.changes();
    bench.run(lease.expires_at.since(bench.now));
    assert!(bench.client.lease().is_none());
    assert_eq!(bench.client.changes(), changes + 1);
    assert_eq!(bench.client.phase(), Phase::Selecting);
}

/// RFC 2131 section 4.4.5: the acknowledgement of a renewal counts from when it was asked for.
#[test]
fn a_renewal_extends_the_lease() {
    let mut bench = Bench::bound(20);
    for _ in 0..5 {
        let renewal = bench.next();
        let asked = bench.now;
        let answer = Answer::new(ACK, renewal.transaction).with(51, &20u32.to_be_bytes());
        bench.give(&answer).unwrap();
        assert_eq!(bench.client.phase(), Phase::Bound);
        assert_eq!(
            bench.client.lease().unwrap().expires_at,
            asked.saturating_add(secs(20))
        );
    }
}

/// RFC 2131 section 4.4.5: while rebinding any server may answer, and is asked from then on.
#[test]
fn another_server_may_rebind() {
    let mut bench = Bench::bound(120);
    let rebinding = loop {
        let seen = bench.next();
        if seen.target == Ipv4Addr::BROADCAST {
            break seen;
        }
    };
    let answer = Answer::new(ACK, rebinding.transaction).with(54, &OTHER.octets());
    bench.give(&answer).unwrap();
    assert_eq!(bench.client.lease().unwrap().server, OTHER);
}

/// RFC 2131 section 3.1 step 4 and section 4.4.5: a NAK starts everything anew, and takes the address.
#[test]
fn a_refusal_starts_anew() {
    let (mut bench, request) = Bench::requesting();
    bench.give(&Answer::new(NAK, request.transaction)).unwrap();
    let discover = bench.next();
    assert_eq!(discover.kind, DISCOVER);
    assert_ne!(discover.transaction, request.transaction);

    let mut bench = Bench::bound(120);
    let renewal = bench.next();
    bench.give(&Answer::new(NAK, renewal.transaction)).unwrap();
    assert!(bench.client.lease().is_none());
    assert_eq!(bench.next().kind, DISCOVER);
}

/// RFC 2131 section 3.1 step 5 and RFC 5227 section 2.1.1: an address that somebody has is declined, and nothing asked for ten
/// seconds.
#[test]
fn an_address_that_somebody_has_is_declined() {
    for sender in [ADDRESS, Ipv4Addr::UNSPECIFIED] {
        let (mut bench, request) = Bench::requesting();
        bench.give(&Answer::new(ACK, request.transaction)).unwrap();
        assert!(bench.sent().is_empty());
        assert_eq!(bench.arps, [(Ipv4Addr::UNSPECIFIED, ADDRESS)]);
        let foreign = arp([2, 0, 0, 0, 0, 9], sender, ADDRESS);
        let _ = bench.client.receive_arp(bench.now, &foreign).unwrap();
        let at = bench.now;
        let decline = bench.next();
        assert_eq!((decline.kind, bench.now), (DECLINE, at));
        assert_eq!(decline.option(50), Some(&ADDRESS.octets()[..]));
        assert_eq!(decline.option(54), Some(&SERVER.octets()[..]));
        assert_eq!(decline.target, Ipv4Addr::BROADCAST);
        assert_eq!(bench.next().kind, DISCOVER);
        assert_eq!(bench.now, at.saturating_add(secs(10)));
        assert!(bench.client.lease().is_none());
    }
}

#[test]
fn what_others_probe_for_and_our_own_echo_are_no_conflict() {
    let (mut bench, request) = Bench::requesting();
    bench.give(&Answer::new(ACK, request.transaction)).unwrap();
    bench.sent();
    for packet in [
        arp(HARDWARE, Ipv4Addr::UNSPECIFIED, ADDRESS),
        arp([2; 6], OTHER, ADDRESS),
        arp([2; 6], Ipv4Addr::UNSPECIFIED, OTHER),
    ] {
        assert_eq!(
            bench.client.receive_arp(bench.now, &packet),
            Ok(Taken::NotMine)
        );
    }
    bench.run(secs(1));
    assert_eq!(bench.client.phase(), Phase::Bound);
}

/// RFC 5227 section 2.4 (c): once in ten seconds it is said whose the address is, however often somebody claims it.
#[test]
fn an_address_in_use_is_defended_and_kept() {
    let mut bench = Bench::bound(120);
    bench.arps.clear();
    for _ in 0..100 {
        let _ = bench
            .client
            .receive_arp(bench.now, &arp([2; 6], ADDRESS, ADDRESS))
            .unwrap();
        bench.run(Nanoseconds::from_millis(110));
    }
    assert_eq!(bench.arps, [(ADDRESS, ADDRESS); 2]);
    assert_eq!(bench.client.phase(), Phase::Bound);
}

/// RFC 5227 section 1.1: three probes, then two seconds of silence, then an announcement.
#[test]
fn the_full_probe_takes_as_long_as_it_must() {
    let mut bench = Bench::new(Probing::RFC_5227);
    let discover = bench.next();
    bench
        .give(&Answer::new(OFFER, discover.transaction))
        .unwrap();
    let request = bench.next();
    bench.give(&Answer::new(ACK, request.transaction)).unwrap();
    bench.run(Nanoseconds::from_millis(4_900));
    assert_eq!(bench.arps, [(Ipv4Addr::UNSPECIFIED, ADDRESS); 3]);
    assert_eq!(bench.client.phase(), Phase::Probing);
    bench.run(Nanoseconds::from_millis(200));
    assert_eq!(bench.client.phase(), Phase::Bound);
    assert_eq!(bench.arps[3..], [(ADDRESS, ADDRESS)]);
}

/// RFC 2131 section 4.1: four seconds, eight, up to 64, each give or take one; never more often.
#[test]
fn questions_become_rarer() {
    let (mut bench, first) = Bench::discovering();
    let mut last = bench.now;
    for wait in [4, 8, 16, 32, 64, 64, 64] {
        let again = bench.next();
        assert_eq!(
            (again.kind, again.transaction),
            (DISCOVER, first.transaction)
        );
        let span = bench.now.since(last);
        assert!(
            span >= secs(wait - 1) && span <= secs(wait + 1),
            "{span} for {wait}"
        );
        last = bench.now;
    }
}

/// RFC 2131 section 4.4.1 and section 3.1 step 5: an offer that nobody stands by is given up after four requests.
#[test]
fn a_request_without_an_answer_is_given_up() {
    let (mut bench, request) = Bench::requesting();
    for _ in 0..3 {
        let again = bench.next();
        assert_eq!(
            (again.kind, again.transaction),
            (REQUEST, request.transaction)
        );
    }
    assert_eq!(bench.next().kind, DISCOVER);
}

/// RFC 2131 section 3.3: a lease of all ones has no end.
#[test]
fn an_infinite_lease_is_never_renewed() {
    let mut bench = Bench::bound(u32::MAX);
    assert!(bench.client.deadline().is_never());
    assert!(bench.run(secs(1_000_000_000)).is_empty());
    assert_eq!(bench.client.phase(), Phase::Bound);
}

/// RFC 2131 section 4.4.6.
#[test]
fn a_released_address_is_gone() {
    let mut bench = Bench::bound(120);
    bench.client.release();
    assert!(bench.client.lease().is_none());
    let seen = bench.sent();
    assert_eq!(
        (seen.len(), seen[0].kind, seen[0].target, seen[0].client),
        (1, RELEASE, SERVER, ADDRESS)
    );
    assert!(bench.client.deadline().is_never());
    assert_eq!(
        bench.give(&Answer::new(OFFER, seen[0].transaction)),
        Err(Refusal::D4Transaction)
    );
}

/// RFC 3442, in the shape of GCE: one address without a network, a route to the router, and the rest by way of it.
#[test]
fn classless_routes_replace_routers() {
    let (mut bench, request) = Bench::requesting();
    let router = Ipv4Addr::new(10, 128, 0, 1);
    let routes = [&[32, 10, 128, 0, 1, 0, 0, 0, 0][..], &[0, 10, 128, 0, 1]].concat();
    let answer = Answer::new(ACK, request.transaction)
        .with(1, &[255; 4])
        .with(26, &1460u16.to_be_bytes())
        .with(121, &routes);
    bench.give(&answer).unwrap();
    bench.run(secs(1));
    let lease = bench.client.lease().unwrap();
    let all = Route {
        target: Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        router,
    };
    let link = Route {
        target: router,
        prefix: 32,
        router: Ipv4Addr::UNSPECIFIED,
    };
    assert_eq!((lease.prefix, lease.mtu), (32, Some(1460)));
    assert_eq!(lease.routes[..], [link, all]);
    assert_eq!(lease.routers[..], [router]);
}

//! Whatever arrives: no panic, no growth, and no state by who could not know.

use net_config::ipv6::{MOST_ADDRESSES, Origin};
use net_config::{Refusal, Taken};
use proptest::prelude::*;
use units::Nanoseconds;

use crate::peer::*;

/// A packet that is right as far as sums go, of a kind that somebody listens for.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![1u8, 2, 133, 134, 134, 134, 135, 136, 137]);
    let code = prop::sample::select(vec![0u8, 0, 0, 1]);
    let hops = prop::sample::select(vec![255u8, 255, 255, 64]);
    let body = prop::collection::vec(any::<u8>(), 0..120);
    let icmp6 =
        (kind, code, hops, body, any::<bool>()).prop_map(|(kind, code, hops, mut body, links)| {
            body.splice(0..0, [kind, code, 0, 0]);
            icmp(if links { ROUTER } else { GIVEN }, ALL_NODES, hops, &body)
        });
    let advertisement =
        prop::collection::vec((any::<u8>(), 0u8..6, any::<u8>()), 0..6).prop_map(|options| {
            options
                .into_iter()
                .fold(
                    Advertisement::new(0),
                    |advertisement, (code, units, fill)| {
                        let code = [1, 3, 5, 14, 25, code][usize::from(code) % 6];
                        let mut option = vec![fill; usize::from(units.max(1)) * 8];
                        option[..2].copy_from_slice(&[code, units]);
                        advertisement.with(&option)
                    },
                )
                .packet()
        });
    let dhcp =
        prop::collection::vec(any::<u8>(), 0..120).prop_map(|message| udp(ROUTER, 547, &message));
    prop_oneof![
        icmp6,
        advertisement,
        dhcp,
        prop::collection::vec(any::<u8>(), 0..200)
    ]
}

fn bench(phase: u8) -> (Bench, [u8; 3]) {
    let (mut bench, seen) = match phase {
        0 => Bench::soliciting(),
        1 => Bench::requesting(),
        2 => {
            let mut bench = Bench::bound(100, 120);
            let seen = bench.until(RENEW);
            (bench, seen)
        }
        _ => {
            let mut bench = Bench::bound(100, 120);
            let seen = bench.until(REBIND);
            (bench, seen)
        }
    };
    bench.sent();
    (bench, seen.transaction())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_grow_or_go_on_without_end(
        phase in 0u8..4,
        packets in prop::collection::vec((packet(), 0u64..100_000_000_000), 0..12),
    ) {
        let (mut bench, _) = bench(phase);
        for (packet, span) in packets {
            let _ = bench.take(&packet);
            bench.run(Nanoseconds::new(span));
        }
        prop_assert!(bench.host.addresses(bench.now).count() <= MOST_ADDRESSES);
        prop_assert!(bench.host.mtu() >= 1280 && bench.host.mtu() <= 1500);
    }

    /// Whoever does not see the transaction cannot move the client, whatever else the message says.
    #[test]
    fn a_forged_transaction_reaches_no_state(
        phase in 0u8..4, kind in 0u8..15, wrong in any::<[u8; 3]>(),
        more in prop::collection::vec((0u16..40, prop::collection::vec(any::<u8>(), 0..40)), 0..4),
    ) {
        let (mut bench, transaction) = bench(phase);
        prop_assume!(transaction != wrong);
        let before = (bench.host.dhcp_phase(), bench.host.lease().cloned(), bench.host.deadline(), bench.host.changes());
        let mut answer = Answer::new(kind, wrong);
        answer.more = more.iter().flat_map(|(code, value)| option(*code, value)).collect();
        let refused = bench.give(&answer);
        prop_assert!(matches!(refused, Err(Refusal::D6Transaction | Refusal::D6Type)));
        let after = (bench.host.dhcp_phase(), bench.host.lease().cloned(), bench.host.deadline(), bench.host.changes());
        prop_assert_eq!(before, after);
    }

    /// Whoever is not on the link cannot make neighbour discovery change anything.
    #[test]
    fn what_came_through_a_router_changes_nothing(
        kind in prop::sample::select(vec![134u8, 135, 136]), hops in 0u8..255, body in prop::collection::vec(any::<u8>(), 20..100),
    ) {
        let (mut bench, request) = Bench::requesting();
        let _ = bench.give(&Answer::new(7, request.transaction())).unwrap();
        let before = (bench.host.changes(), bench.host.deadline(), bench.host.mtu());
        let mut body = body;
        body.splice(0..0, [kind, 0, 0, 0]);
        body[8..24].copy_from_slice(&GIVEN.octets());
        prop_assert_eq!(bench.take(&icmp(ROUTER, ALL_NODES, hops, &body)), Err(Refusal::NdHopLimit));
        prop_assert_eq!((bench.host.changes(), bench.host.deadline(), bench.host.mtu()), before);
    }

    /// Two hosts that get the same packets at the same times say the same: there is no other input.
    #[test]
    fn nothing_else_goes_in(packets in prop::collection::vec((packet(), 0u64..10_000_000_000), 0..8)) {
        let run = || {
            let mut bench = Bench::ready();
            let mut story = Vec::new();
            for (packet, span) in &packets {
                story.push(format!("{:?}", bench.take(packet)));
                story.push(format!("{:?}", bench.run(Nanoseconds::new(*span))));
            }
            story
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn what_is_for_others_is_left_to_them() {
    let mut bench = Bench::ready();
    let own = bench.of(Origin::LinkLocal).unwrap().address;
    for packet in [
        icmp(ROUTER, own, 64, &[128, 0, 0, 0, 1, 2, 3, 4]),
        icmp(ROUTER, own, 255, &[137, 0, 0, 0, 1, 2, 3, 4]),
    ] {
        assert_eq!(bench.take(&packet), Ok(Taken::NotMine));
    }
    let solicited = [vec![135, 0, 0, 0, 0, 0, 0, 0], own.octets().to_vec()].concat();
    assert_eq!(
        bench.take(&icmp(ROUTER, own, 255, &solicited)),
        Ok(Taken::NotMine)
    );
    // RFC 4861 sections 7.1.1 and 7.1.2.
    assert_eq!(
        bench.take(&wanted(own, &[1, 1, 2, 0, 0, 0, 0, 9])),
        Err(Refusal::NsSource)
    );
    let elsewhere = icmp(std::net::Ipv6Addr::UNSPECIFIED, ALL_NODES, 255, &solicited);
    assert_eq!(bench.take(&elsewhere), Err(Refusal::NsSource));
    assert_eq!(bench.take(&wanted(ALL_NODES, &[])), Err(Refusal::NsTarget));
    assert_eq!(bench.take(&had(own, 0x40)), Err(Refusal::NaFlags));
    assert_eq!(bench.take(&[0x60; 39]), Err(Refusal::Ip6Header));
}

//! How long a packet may be: RFC 8201.

use std::net::Ipv6Addr;

use net_config::ipv6::{MOST_PATHS, Origin, TooBig};
use net_config::{Refusal, Taken};

use crate::peer::*;

const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn too_big(mtu: u32, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut body = vec![2, 0, 0, 0];
    body.extend(mtu.to_be_bytes());
    body.extend([0x60, 0, 0, 0, 5, 0xdc - 40, 6, 64]);
    body.extend(source.octets());
    body.extend(target.octets());
    body.extend([0x30, 0x39, 0, 80, 1, 2, 3, 4]);
    icmp(GIVEN, source, 60, &body)
}

fn ready() -> (Bench, Ipv6Addr) {
    let mut bench = Bench::ready();
    bench
        .advertise(&Advertisement::new(0).prefix(PREFIX, 9000, 9000))
        .unwrap();
    bench.run(secs(3));
    let own = bench.of(Origin::Advertised).unwrap().address;
    (bench, own)
}

/// RFC 8201 sections 4 and 5.3: nothing is narrower until the flow was found, and for ten minutes then.
#[test]
fn a_narrow_path_is_believed_once_the_flow_is_known() {
    let (mut bench, own) = ready();
    let Ok(Taken::TooBig(heard)) = bench.take(&too_big(1300, own, FAR)) else {
        panic!("not taken");
    };
    let expected = TooBig {
        mtu: 1300,
        source: own,
        target: FAR,
        protocol: 6,
        first: [0x30, 0x39, 0, 80, 1, 2, 3, 4],
    };
    assert_eq!(heard, expected);
    assert_eq!(bench.host.path_mtu(FAR, bench.now), 1500);
    bench.host.believe(bench.now, &heard);
    assert_eq!(bench.host.path_mtu(FAR, bench.now), 1300);
    assert_eq!(bench.host.path_mtu(GIVEN, bench.now), 1500);
    assert_eq!(
        bench
            .host
            .path_mtu(FAR, bench.now.saturating_add(secs(600))),
        1500
    );
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let (mut bench, own) = ready();
    let cases = [
        (Refusal::PtbSmall, too_big(1279, own, FAR)),
        (Refusal::PtbSmall, too_big(0, own, FAR)),
        (Refusal::PtbGrows, too_big(1500, own, FAR)),
        (Refusal::PtbGrows, too_big(u32::MAX, own, FAR)),
        (Refusal::PtbQuote, too_big(1300, FAR, FAR)),
        (Refusal::PtbQuote, too_big(1300, own, ALL_NODES)),
        (
            Refusal::PtbQuote,
            icmp(GIVEN, own, 60, &[2, 0, 0, 0, 0, 0, 5, 20]),
        ),
        (
            Refusal::PtbQuote,
            icmp(
                GIVEN,
                own,
                60,
                &[[2, 0, 0, 0, 0, 0, 5, 20], [0x45; 8]].concat().repeat(4),
            ),
        ),
    ];
    for (number, (refusal, packet)) in cases.iter().enumerate() {
        assert_eq!(bench.take(packet), Err(*refusal), "number {number}");
    }
    assert_eq!(bench.host.path_mtu(FAR, bench.now), 1500);
}

#[test]
fn no_more_paths_are_kept_than_fit() {
    let (mut bench, own) = ready();
    for number in 0..500u16 {
        let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
        let heard = TooBig {
            mtu: 1280,
            source: own,
            target,
            protocol: 17,
            first: [0; 8],
        };
        bench.host.believe(bench.now, &heard);
    }
    let at = |number| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
    let narrow = (0..500).filter(|number| bench.host.path_mtu(at(*number), bench.now) == 1280);
    assert_eq!(narrow.count(), MOST_PATHS);
    assert_eq!(bench.host.path_mtu(at(499), bench.now), 1280);
}

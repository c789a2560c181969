//! Authority over ports and prefixes only ever becomes narrower, and nothing goes beyond it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use net_demux::{
    Bucket, Connect, Demux, Endpoint, Limits, Listen, Prefix, Protocol, Refusal, Share, Wider,
};
use proptest::prelude::*;
use units::Nanoseconds;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 50));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn end(address: IpAddr, port: u16) -> Endpoint {
    Endpoint { address, port }
}

fn demux() -> (Demux, net_demux::Client) {
    let limits = Limits {
        sockets: 8,
        clients: 2,
    };
    let mut demux = Demux::new(limits, [7; 16], Bucket::new(1, 1, Nanoseconds::ZERO));
    let share = Share {
        sockets: 4,
        half_open: 2,
    };
    let client = demux.admit(share).unwrap();
    (demux, client)
}

#[test]
fn one_port_is_one_port() {
    let (mut demux, client) = demux();
    let one = Listen::new(Protocol::Tcp, 1, u16::MAX)
        .ports(80, 80)
        .unwrap();
    for port in [0, 79, 81, 22, u16::MAX] {
        assert_eq!(
            demux.listen(client, &one, end(ANY, port), 1),
            Err(Refusal::NotGranted)
        );
    }
    assert_eq!(
        demux.udp(client, &one, end(ANY, 80)),
        Err(Refusal::NotGranted)
    );
    assert!(demux.listen(client, &one, end(ANY, 80), 1).is_ok());
}

#[test]
fn one_local_address_is_not_any() {
    let (mut demux, client) = demux();
    let one = Listen::new(Protocol::Udp, 53, 53).at(HERE).unwrap();
    assert_eq!(
        demux.udp(client, &one, end(ANY, 53)),
        Err(Refusal::NotGranted)
    );
    assert_eq!(
        demux.udp(client, &one, end(THERE, 53)),
        Err(Refusal::NotGranted)
    );
    assert!(demux.udp(client, &one, end(HERE, 53)).is_ok());
    assert_eq!(one.at(THERE), Err(Wider));
    assert_eq!(Listen::new(Protocol::Udp, 53, 53).at(ANY), Err(Wider));
}

#[test]
fn one_prefix_is_one_prefix() {
    let (mut demux, client) = demux();
    let net = Prefix::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)), 24).unwrap();
    let web = Connect::new(Protocol::Tcp, net, 443, 443);
    let mut try_it =
        |address, port| demux.connect(client, &web, Protocol::Tcp, HERE, end(address, port));
    assert!(try_it(THERE, 443).is_ok());
    assert_eq!(try_it(THERE, 80), Err(Refusal::NotGranted));
    assert_eq!(
        try_it(IpAddr::V4(Ipv4Addr::new(192, 0, 3, 1)), 443),
        Err(Refusal::NotGranted)
    );
    assert_eq!(
        try_it(IpAddr::V6(Ipv6Addr::LOCALHOST), 443),
        Err(Refusal::NotGranted)
    );
    assert_eq!(
        try_it(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)), 0),
        Err(Refusal::NotGranted)
    );
    let all = Connect::new(Protocol::Tcp, Prefix::new(ANY, 0).unwrap(), 1, u16::MAX);
    for address in [
        Ipv4Addr::BROADCAST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(224, 0, 0, 1),
    ] {
        let refused = demux.connect(client, &all, Protocol::Tcp, HERE, end(address.into(), 80));
        assert_eq!(refused, Err(Refusal::Address));
    }
    assert_eq!(
        demux.connect(client, &all, Protocol::Udp, HERE, end(THERE, 80)),
        Err(Refusal::NotGranted)
    );
    let sixth = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
    assert_eq!(
        demux.connect(client, &all, Protocol::Tcp, sixth, end(THERE, 80)),
        Err(Refusal::Address)
    );
}

#[test]
fn a_prefix_has_no_more_bits_than_an_address() {
    assert!(
        Prefix::new(HERE, 33).is_none()
            && Prefix::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 129).is_none()
    );
    assert!(Prefix::of(HERE).covers(HERE) && !Prefix::of(HERE).covers(THERE));
    let none = Prefix::new(ANY, 0).unwrap();
    assert!(none.covers(HERE) && !none.covers(IpAddr::V6(Ipv6Addr::LOCALHOST)));
}

/// Who has a port at any address has it at each, and the other way round.
#[test]
fn nobody_listens_in_anothers_place() {
    let (mut demux, client) = demux();
    let other = demux
        .admit(Share {
            sockets: 4,
            half_open: 1,
        })
        .unwrap();
    let all = Listen::new(Protocol::Tcp, 1, u16::MAX);
    let first = demux.listen(client, &all, end(ANY, 80), 1).unwrap();
    for address in [ANY, HERE] {
        assert_eq!(
            demux.listen(other, &all, end(address, 80), 1),
            Err(Refusal::InUse)
        );
    }
    let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    assert!(
        demux.listen(other, &all, end(any6, 80), 1).is_ok(),
        "another family is another port"
    );
    demux.close(first, |_| {}).unwrap();
    assert!(demux.listen(other, &all, end(HERE, 80), 1).is_ok());
    assert_eq!(
        demux.listen(client, &all, end(ANY, 80), 1),
        Err(Refusal::InUse)
    );
    assert!(
        demux.listen(client, &all, end(THERE, 80), 1).is_ok(),
        "another address of ours"
    );
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        (0u32..4).prop_map(|low| IpAddr::V4((0xc000_0200 | low).into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
    ]
}

proptest! {
    /// However often it is handed on: what a narrower one covers, each wider one before it covers too.
    #[test]
    fn what_is_handed_on_is_never_wider(
        steps in prop::collection::vec((any::<u16>(), any::<u16>(), address(), 0u8..129, any::<bool>()), 1..8),
        asked in prop::collection::vec((address(), any::<u16>()), 8),
    ) {
        let mut listen = vec![Listen::new(Protocol::Tcp, 1000, 60_000)];
        let mut connect = vec![Connect::new(Protocol::Tcp, Prefix::new(ANY, 0).unwrap(), 1000, 60_000)];
        for (first, last, address, length, is_ports) in steps {
            let (wide_listen, wide_connect) = (listen[listen.len() - 1], connect[connect.len() - 1]);
            if is_ports {
                listen.extend(wide_listen.ports(first, last));
                connect.extend(wide_connect.ports(first, last));
            } else {
                listen.extend(wide_listen.at(address));
                let to = Prefix::new(address, length);
                connect.extend(to.and_then(|to| wide_connect.to(to).ok()));
            }
        }
        for (address, port) in asked {
            for pair in listen.windows(2) {
                let covers = |one: &Listen| one.covers(Protocol::Tcp, end(address, port));
                prop_assert!(!covers(&pair[1]) || covers(&pair[0]));
            }
            for pair in connect.windows(2) {
                let covers = |one: &Connect| one.covers(Protocol::Tcp, end(address, port));
                prop_assert!(!covers(&pair[1]) || covers(&pair[0]));
            }
        }
    }
}

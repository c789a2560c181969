//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![cfg(sabotage)]

use std::net::{IpAddr, Ipv4Addr};

use net_demux::{
    Arrival, Bucket, Client, Connect, Demux, Endpoint, Flags, Limits, Listen, Prefix, Protocol,
    Share,
};
use sabotage::{choose, points};
use units::Nanoseconds;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 50));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[test]
fn each_point_breaks_what_it_says() {
    net_listen_anywhere_gives_a_port_that_was_not_granted();
    net_connect_anywhere_reaches_whom_nobody_allowed();
    net_widen_ports_hands_on_more_ports();
    net_widen_prefix_hands_on_more_addresses();
    net_ignore_shares_lets_a_flood_take_the_others_sockets();
}

fn demux() -> (Demux, Client) {
    let limits = Limits {
        sockets: 8,
        clients: 2,
    };
    let mut demux = Demux::new(limits, [7; 16], Bucket::new(1, 1, Nanoseconds::ZERO));
    let client = demux
        .admit(Share {
            sockets: 4,
            half_open: 2,
        })
        .unwrap();
    (demux, client)
}

fn end(address: IpAddr, port: u16) -> Endpoint {
    Endpoint { address, port }
}

fn net_listen_anywhere_gives_a_port_that_was_not_granted() {
    choose(points::NET_LISTEN_ANYWHERE);
    let (mut demux, client) = demux();
    assert!(
        demux
            .listen(
                client,
                &Listen::new(Protocol::Tcp, 80, 80),
                end(HERE, 22),
                1
            )
            .is_ok()
    );
}

fn net_connect_anywhere_reaches_whom_nobody_allowed() {
    choose(points::NET_CONNECT_ANYWHERE);
    let (mut demux, client) = demux();
    let one = Connect::new(Protocol::Tcp, Prefix::of(THERE), 80, 80);
    let other = end(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 80);
    assert!(
        demux
            .connect(client, &one, Protocol::Tcp, HERE, other)
            .is_ok()
    );
}

fn net_widen_ports_hands_on_more_ports() {
    choose(points::NET_WIDEN_PORTS);
    assert!(Listen::new(Protocol::Tcp, 80, 80).ports(1, 1000).is_ok());
    assert!(
        Connect::new(Protocol::Tcp, Prefix::of(THERE), 80, 80)
            .ports(1, 1000)
            .is_ok()
    );
}

fn net_widen_prefix_hands_on_more_addresses() {
    choose(points::NET_WIDEN_PREFIX);
    let all = Prefix::new(THERE, 0).unwrap();
    assert!(
        Connect::new(Protocol::Tcp, Prefix::of(THERE), 80, 80)
            .to(all)
            .is_ok()
    );
}

fn net_ignore_shares_lets_a_flood_take_the_others_sockets() {
    choose(points::NET_IGNORE_SHARES);
    let (mut demux, client) = demux();
    let local = end(HERE, 80);
    demux
        .listen(client, &Listen::new(Protocol::Tcp, 80, 80), local, 100)
        .unwrap();
    for port in 1..=7 {
        let flags = Flags {
            syn: true,
            ..Flags::default()
        };
        let syn = Arrival {
            protocol: Protocol::Tcp,
            local,
            remote: end(THERE, port),
            flags,
        };
        let _ = demux.arrive(Nanoseconds::ZERO, &syn);
    }
    assert_eq!(demux.len(), 8, "more than the four that were promised");
}

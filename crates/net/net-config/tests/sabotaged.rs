//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![cfg(sabotage)]
#![allow(dead_code, reason = "the peers serve the other tests too")]

#[path = "ipv6/peer.rs"]
mod peer;
#[path = "dhcp4/server.rs"]
mod server;

use net_config::Taken;
use sabotage::{choose, points};
use server::{ACK, Answer, Bench, OFFER, OTHER};

#[test]
fn each_point_breaks_what_it_says() {
    dhcp_take_any_transaction_believes_who_saw_nothing();
    dhcp_take_any_server_believes_who_was_not_asked();
    nd_take_routed_believes_who_is_not_on_the_link();
}

fn dhcp_take_any_transaction_believes_who_saw_nothing() {
    choose(points::DHCP_TAKE_ANY_TRANSACTION);
    let (mut bench, discover) = Bench::discovering();
    assert_eq!(
        bench.give(&Answer::new(OFFER, !discover.transaction)),
        Ok(Taken::Yes)
    );
    let (mut bench, solicit) = peer::Bench::soliciting();
    let wrong = solicit.transaction().map(|byte| !byte);
    assert_eq!(bench.give(&peer::Answer::new(2, wrong)), Ok(Taken::Yes));
}

fn dhcp_take_any_server_believes_who_was_not_asked() {
    choose(points::DHCP_TAKE_ANY_SERVER);
    let (mut bench, request) = Bench::requesting();
    let answer = Answer::new(ACK, request.transaction).with(54, &OTHER.octets());
    assert_eq!(bench.give(&answer), Ok(Taken::Yes));
    let (mut bench, request) = peer::Bench::requesting();
    let rival = peer::Answer {
        server: Some(peer::RIVAL.to_vec()),
        ..peer::Answer::new(7, request.transaction())
    };
    assert_eq!(bench.give(&rival), Ok(Taken::Yes));
}

fn nd_take_routed_believes_who_is_not_on_the_link() {
    choose(points::ND_TAKE_ROUTED);
    let mut bench = peer::Bench::ready();
    let routed = peer::Advertisement {
        hops: 64,
        ..peer::Advertisement::new(0)
    };
    assert_eq!(bench.advertise(&routed), Ok(()));
    assert_eq!(bench.host.routers().len(), 1);
}

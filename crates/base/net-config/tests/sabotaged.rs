//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![cfg(sabotage)]

#[path = "dhcp4/server.rs"]
mod server;

use net_config::Taken;
use sabotage::{choose, points};
use server::*;

#[test]
fn each_point_breaks_what_it_says() {
    dhcp_take_any_transaction_believes_who_saw_nothing();
    dhcp_take_any_server_believes_who_was_not_asked();
}

fn dhcp_take_any_transaction_believes_who_saw_nothing() {
    choose(points::DHCP_TAKE_ANY_TRANSACTION);
    let (mut bench, discover) = Bench::discovering();
    assert_eq!(
        bench.give(&Answer::new(OFFER, !discover.transaction)),
        Ok(Taken::Yes)
    );
}

fn dhcp_take_any_server_believes_who_was_not_asked() {
    choose(points::DHCP_TAKE_ANY_SERVER);
    let (mut bench, request) = Bench::requesting();
    let answer = Answer::new(ACK, request.transaction).with(54, &OTHER.octets());
    assert_eq!(bench.give(&answer), Ok(Taken::Yes));
}

//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![cfg(sabotage)]

mod support;

use net_stack::Count;
use sabotage::{choose, points};
use support::{Link, spoil};

#[test]
fn each_point_breaks_what_it_says() {
    choose(points::NET_SKIP_CHECKSUMS);
    let mut link = Link::new();
    let _ = link.listen(80, 4);
    link.harm = spoil;
    link.connect(80).unwrap();
    link.soon();
    assert_eq!(link.stacks[1].counts().of(Count::TcpChecksum), 0);
    // A spoilt SYN got a place of its own.
    assert!(link.stacks[1].sockets() > 1);
}

//! What two stacks do on one link.

mod support;

use net_demux::{Connect, Endpoint, Listen, Prefix, Protocol};
use net_stack::{Count, Echo, Read, Refusal, State};
use support::{Link, SHARE, spoil};
use units::Nanoseconds;

#[test]
fn an_echo_is_answered_and_one_to_nobody_is_not() {
    let mut link = Link::new();
    let (now, target) = (link.now, link.address(1));
    let until = now.saturating_add(Nanoseconds::from_secs(3));
    for (owner, target) in [(1, target), (2, "fe80::1".parse().unwrap())] {
        let echo = Echo {
            target,
            bytes: 56,
            until,
            owner,
        };
        link.stacks[0].ask_echo(now, echo).unwrap();
    }
    link.run(Nanoseconds::from_secs(4));
    let mut ended = [
        link.stacks[0].echoed().unwrap(),
        link.stacks[0].echoed().unwrap(),
    ];
    ended.sort_by_key(|echoed| echoed.owner);
    assert_eq!(ended[0].outcome.map(|(_, hops)| hops), Ok(64));
    assert_eq!(ended[1].outcome, Err(Refusal::TimedOut));
    assert!(link.stacks[0].echoed().is_none());
}

#[test]
fn bytes_go_both_ways_and_each_side_ends_on_its_own() {
    let mut link = Link::new();
    let [client, server] = link.connected();
    assert_eq!(link.write(0, client, 0, b"question"), Ok(8));
    link.soon();
    assert_eq!(
        link.read(1, server, 0),
        Ok(Read::Bytes(b"question".to_vec()))
    );
    // What was shown stays until it is given up: a lost answer loses nothing.
    assert_eq!(
        link.read(1, server, 0),
        Ok(Read::Bytes(b"question".to_vec()))
    );
    assert_eq!(link.read(1, server, 9), Err(Refusal::Position));
    assert_eq!(link.read(1, server, 8), Ok(Read::Wait));
    assert_eq!(link.read(1, server, 7), Err(Refusal::Position));
    // Half closed: the server still answers.
    link.stacks[0].shut(client).unwrap();
    link.soon();
    assert_eq!(link.read(1, server, 8), Ok(Read::End));
    assert_eq!(link.stacks[1].state(server), Ok(State::PeerDone));
    assert_eq!(link.write(1, server, 0, b"answer"), Ok(6));
    // The same again is the same.
    assert_eq!(link.write(1, server, 0, b"answer"), Ok(6));
    assert_eq!(link.write(1, server, 7, b"late"), Err(Refusal::Position));
    link.soon();
    assert_eq!(link.read(0, client, 0), Ok(Read::Bytes(b"answer".to_vec())));
    assert_eq!(link.write(0, client, 8, b"more"), Err(Refusal::Shut));
    let now = link.now;
    link.stacks[1].release(now, server);
    link.soon();
    assert_eq!(link.read(0, client, 6), Ok(Read::End));
    assert_eq!(
        link.stacks[1].state(server),
        Err(net_demux::Refusal::Stale.into())
    );
}

#[test]
fn a_full_buffer_holds_the_sender_up_and_nothing_is_lost() {
    let mut link = Link::new();
    let [client, server] = link.connected();
    let all: Vec<u8> = (0..40_000u32).map(|number| (number % 251) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < all.len() {
        if sent < all.len() {
            sent += link.write(0, client, sent as u64, &all[sent..]).unwrap();
        }
        link.run(Nanoseconds::from_millis(50));
        // The receiver's buffer and the sender's hold no more than this.
        assert!(sent - got.len() <= 8192);
        if let Read::Bytes(bytes) = link.read(1, server, got.len() as u64).unwrap() {
            got.extend(bytes);
        }
    }
    assert_eq!(got, all);
}

#[test]
fn nobody_listening_is_said_at_once_and_unread_bytes_reset() {
    let mut link = Link::new();
    let nobody = link.connect(81).unwrap();
    link.soon();
    assert_eq!(link.stacks[0].state(nobody), Ok(State::Broken));
    let [client, server] = link.connected();
    assert_eq!(link.write(0, client, 0, b"never read"), Ok(10));
    link.soon();
    let now = link.now;
    link.stacks[1].release(now, server);
    link.soon();
    assert_eq!(link.stacks[0].state(client), Ok(State::Broken));
    assert_eq!(link.read(0, client, 0), Err(Refusal::Reset));
}

#[test]
fn a_wrong_sum_reaches_no_socket() {
    let mut link = Link::new();
    let _ = link.listen(80, 4);
    link.harm = spoil;
    let client = link.connect(80).unwrap();
    link.soon();
    assert_eq!(link.stacks[0].state(client), Ok(State::Connecting));
    assert!(link.stacks[1].counts().of(Count::TcpChecksum) > 0);
    assert_eq!(link.stacks[1].sockets(), 1);
}

#[test]
fn places_come_back_and_shares_hold() {
    let mut link = Link::new();
    let listener = link.listen(80, 2);
    for round in 0..20 {
        let client = link
            .connect(80)
            .unwrap_or_else(|refusal| panic!("{round}: {refusal:?}"));
        link.soon();
        let (server, _) = link.stacks[1].accept(listener).unwrap().unwrap();
        let now = link.now;
        link.stacks[0].release(now, client);
        link.soon();
        link.stacks[1].release(now, server);
        link.soon();
    }
    // Nobody accepts: the backlog is two, and the share eight.
    let clients: Vec<_> = (0..8).map(|_| link.connect(80).unwrap()).collect();
    assert_eq!(link.connect(80), Err(net_demux::Refusal::Share.into()));
    link.soon();
    let open = clients
        .iter()
        .filter(|socket| link.stacks[0].state(**socket) == Ok(State::Open));
    assert_eq!(open.count(), 2);
    assert!(link.stacks[1].sockets() <= 3);
}

/// A connection to port 80 that ends at once, its client's side first: that side lingers.
fn round(link: &mut Link, client: net_demux::Client, listener: net_demux::Socket) {
    let socket = link.connect_for(client, 80).unwrap();
    link.soon();
    let (server, _) = link.stacks[1].accept(listener).unwrap().unwrap();
    let now = link.now;
    link.stacks[0].release(now, socket);
    link.soon();
    link.stacks[1].release(now, server);
    link.soon();
}

#[test]
fn orphans_are_forgotten_with_their_sockets() {
    let mut link = Link::new();
    let listener = link.listen(80, 2);
    let client = link.clients[0];
    round(&mut link, client, listener);
    assert_eq!(link.stacks[0].lingering_sockets(), 1);
    for _ in 0..20 {
        round(&mut link, client, listener);
        link.run(Nanoseconds::from_secs(12));
        assert_eq!(link.stacks[0].sockets(), 0);
        assert_eq!(link.stacks[0].lingering_sockets(), 0);
    }
}

#[test]
fn an_orphan_gives_way_to_its_own_client_alone() {
    let mut link = Link::new();
    let listener = link.listen(80, 2);
    let honest = link.clients[0];
    round(&mut link, honest, listener);
    let other = link.stacks[0].admit(SHARE).unwrap();
    for _ in 0..SHARE.sockets {
        link.connect_for(other, 81).unwrap();
    }
    assert_eq!(
        link.connect_for(other, 81),
        Err(net_demux::Refusal::Share.into())
    );
    assert_eq!(link.stacks[0].lingering_sockets(), 1);
    for _ in 0..SHARE.sockets {
        link.connect_for(honest, 81).unwrap();
    }
    assert_eq!(link.stacks[0].lingering_sockets(), 0);
}

#[test]
fn a_listener_that_goes_cuts_off_what_nobody_accepted() {
    let mut link = Link::new();
    let listener = link.listen(80, 2);
    let clients = [link.connect(80).unwrap(), link.connect(80).unwrap()];
    link.soon();
    let now = link.now;
    link.stacks[1].release(now, listener);
    link.soon();
    for client in clients {
        assert_eq!(link.stacks[0].state(client), Ok(State::Broken));
    }
    assert_eq!(link.stacks[1].sockets(), 0);
}

#[test]
fn a_connection_that_is_given_up_is_told_before_anything_else_happens() {
    let mut link = Link::new();
    link.listen(80, 2);
    // No segment arrives.
    link.harm = |frame| frame[12..14] != [0x86, 0xdd] || frame[20] != 6;
    let socket = link.connect(80).unwrap();
    link.soon();
    let (stack, now) = (&mut link.stacks[0], link.now);
    assert_eq!(stack.state(socket), Ok(State::Connecting));
    stack.abort(socket).unwrap();
    stack.release(now, socket);
    let frame = stack.outgoing().unwrap();
    // The flags of TCP behind the headers of Ethernet and IPv6.
    assert_eq!(frame[14 + 40 + 13] & 0x04, 0x04);
    assert_eq!(stack.sockets(), 0);
}

#[test]
fn handshakes_that_never_end_are_forgotten() {
    let mut link = Link::new();
    let _ = link.listen(80, 4);
    link.connect(80).unwrap();
    // The SYN arrives, and nothing after it.
    link.harm = |frame| !(frame[12..14] == [0x86, 0xdd] && frame[20] == 6 && frame[67] != 2);
    link.soon();
    assert_eq!(link.stacks[1].sockets(), 2);
    link.harm = |_| false;
    link.run(Nanoseconds::from_secs(40));
    assert_eq!(link.stacks[1].sockets(), 1);
    assert_eq!(link.stacks[1].counts().of(Count::Expired), 1);
}

#[test]
fn datagrams_go_to_one_end_and_answers_only_to_who_asked() {
    let mut link = Link::new();
    let local = Endpoint {
        address: core::net::Ipv6Addr::UNSPECIFIED.into(),
        port: 53,
    };
    let bound = Listen::new(Protocol::Udp, 53, 53);
    let server = link.stacks[1].bind(link.clients[1], &bound, local).unwrap();
    let remote = Endpoint {
        address: link.address(1),
        port: 53,
    };
    let to = Connect::new(Protocol::Udp, Prefix::of(remote.address), 53, 53);
    let client = link.stacks[0]
        .associate(link.clients[0], &to, remote)
        .unwrap();
    let stranger = Endpoint {
        address: link.address(0),
        port: 7,
    };
    let write = |to: &mut [u8]| {
        to.fill(7);
        Ok::<(), ()>(())
    };
    assert_eq!(
        link.stacks[0].send_datagram(client, None, 5, write),
        Ok(Ok(true))
    );
    link.soon();
    let refused = link.stacks[1].send_datagram(server, Some(stranger), 5, write);
    assert_eq!(refused, Err(net_demux::Refusal::NotGranted.into()));
    let got = link.stacks[1]
        .take_datagram(server, 0, <[u8]>::to_vec)
        .unwrap()
        .unwrap();
    assert_eq!(got.shown, [7; 5]);
    assert_eq!(
        link.stacks[1].send_datagram(server, Some(got.from), 3, write),
        Ok(Ok(true))
    );
    link.soon();
    let answer = link.stacks[0]
        .take_datagram(client, 0, <[u8]>::to_vec)
        .unwrap()
        .unwrap();
    assert_eq!((answer.from, answer.bytes), (remote, 3));
    assert_eq!(
        link.stacks[0].take_datagram(client, 1, <[u8]>::to_vec),
        Ok(None)
    );
    assert_eq!(
        link.stacks[0].take_datagram(client, 0, <[u8]>::to_vec),
        Err(Refusal::Position)
    );
}

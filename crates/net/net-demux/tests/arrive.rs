//! Who gets what arrives, who is answered, and what a flood costs whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use net_demux::*;
use units::Nanoseconds;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 50));
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251));
const NOW: Nanoseconds = Nanoseconds::ZERO;
const SYN: Flags = Flags {
    syn: true,
    ack: false,
    rst: false,
    fin: false,
};
const ACK: Flags = Flags {
    syn: false,
    ack: true,
    rst: false,
    fin: false,
};

fn end(address: IpAddr, port: u16) -> Endpoint {
    Endpoint { address, port }
}

fn stranger(number: u32) -> Endpoint {
    let [_, high, middle, low] = number.to_be_bytes();
    end(IpAddr::V4(Ipv4Addr::new(198, high, middle, low)), 40_000)
}

fn tcp(local: Endpoint, remote: Endpoint, flags: Flags) -> Arrival {
    Arrival {
        protocol: Protocol::Tcp,
        local,
        remote,
        flags,
    }
}

fn udp(local: Endpoint, remote: Endpoint) -> Arrival {
    Arrival {
        protocol: Protocol::Udp,
        local,
        remote,
        flags: Flags::default(),
    }
}

fn everything(protocol: Protocol) -> Listen {
    Listen::new(protocol, 1, u16::MAX)
}

fn demux(answers: u32) -> (Demux, Client) {
    let limits = Limits {
        sockets: 64,
        clients: 4,
    };
    let mut demux = Demux::new(limits, [7; 16], Bucket::new(answers, 0, NOW));
    let client = demux
        .admit(Share {
            sockets: 16,
            half_open: 8,
        })
        .unwrap();
    (demux, client)
}

fn begun(verdict: Verdict) -> (Socket, Option<Socket>) {
    match verdict {
        Verdict::Begin(socket, gone) => (socket, gone),
        other => panic!("{other:?}"),
    }
}

/// RFC 9293 section 3.10.7.1 and 3.10.7.2, RFC 1122 sections 4.1.3.1 and 4.2.3.10, RFC 4443 section 3.1.
#[test]
fn who_listens_nowhere_is_answered_for_by_rst_or_unreachable() {
    let (mut demux, client) = demux(1000);
    demux
        .listen(client, &everything(Protocol::Tcp), end(HERE, 80), 4)
        .unwrap();
    for bits in 0..16u8 {
        let [syn, ack, rst, fin] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let flags = Flags { syn, ack, rst, fin };
        let closed = demux.arrive(NOW, &tcp(end(HERE, 81), stranger(1), flags));
        let open = demux.arrive(NOW, &tcp(end(HERE, 80), stranger(2), flags));
        let expected = match (syn, ack, rst, fin) {
            (true, _, true, _) | (true, _, _, true) => (
                Verdict::Ignore(Ignored::Flags),
                Verdict::Ignore(Ignored::Flags),
            ),
            (_, _, true, _) => (
                Verdict::Ignore(Ignored::Reset),
                Verdict::Ignore(Ignored::Reset),
            ),
            (_, true, ..) => (Verdict::Reset, Verdict::Reset),
            (true, ..) => {
                assert_eq!(closed, Verdict::Reset);
                let (socket, gone) = begun(open);
                assert_eq!(
                    (demux.look(socket).unwrap().0, gone),
                    (Standing::HalfOpen, None)
                );
                demux.close(socket, |_| {}).unwrap();
                continue;
            }
            (false, ..) => (Verdict::Reset, Verdict::Ignore(Ignored::Flags)),
        };
        assert_eq!((closed, open), expected, "{flags:?}");
    }
    assert_eq!(
        demux.arrive(NOW, &udp(end(HERE, 80), stranger(1))),
        Verdict::Unreachable
    );
}

#[test]
fn nobody_and_groups_are_not_answered() {
    let (mut demux, _) = demux(1000);
    let wrong = [
        end(ANY, 40_000),
        end(GROUP, 40_000),
        end(IpAddr::V4(Ipv4Addr::BROADCAST), 40_000),
        end(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 40_000),
        end(
            IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()),
            40_000,
        ),
        end(HERE, 0),
    ];
    for remote in wrong {
        assert_eq!(
            demux.arrive(NOW, &tcp(end(HERE, 80), remote, SYN)),
            Verdict::Ignore(Ignored::NoHost)
        );
        assert_eq!(
            demux.arrive(NOW, &udp(end(HERE, 80), remote)),
            Verdict::Ignore(Ignored::NoHost)
        );
    }
    assert_eq!(
        demux.arrive(NOW, &tcp(end(GROUP, 80), stranger(1), SYN)),
        Verdict::Ignore(Ignored::Group)
    );
    assert_eq!(
        demux.arrive(NOW, &udp(end(GROUP, 80), stranger(1))),
        Verdict::Ignore(Ignored::Group)
    );
}

/// Answers to strangers are so many at once and so many in a second, whatever they send.
#[test]
fn strangers_are_answered_so_often_and_no_more() {
    let limits = Limits {
        sockets: 1,
        clients: 1,
    };
    let mut demux = Demux::new(limits, [7; 16], Bucket::new(10, 100, NOW));
    let mut answered = 0;
    for step in 0..20_000u64 {
        let now = Nanoseconds::from_micros(step * 100);
        match demux.arrive(now, &udp(end(HERE, 80), stranger(step as u32))) {
            Verdict::Unreachable => answered += 1,
            verdict => assert_eq!(verdict, Verdict::Ignore(Ignored::Enough)),
        }
    }
    // Ten, and a hundred in each of two seconds.
    assert!((205..=210).contains(&answered), "{answered}");
}

/// The one that is nearest: both ends, then the local end, then the port.
#[test]
fn the_nearest_socket_gets_it() {
    let (mut demux, client) = demux(9);
    let wide = demux
        .udp(client, &everything(Protocol::Udp), end(ANY, 53))
        .unwrap();
    let to = Prefix::new(ANY, 0).unwrap();
    let all = Connect::new(Protocol::Udp, to, 1, u16::MAX);
    let near = demux
        .connect(client, &all, Protocol::Udp, HERE, stranger(1))
        .unwrap();
    let local = demux.look(near).unwrap().1;
    assert_eq!(
        demux.arrive(NOW, &udp(end(HERE, 53), stranger(1))),
        Verdict::Deliver(wide)
    );
    assert_eq!(
        demux.arrive(NOW, &udp(local, stranger(1))),
        Verdict::Deliver(near)
    );
    // A connected socket takes nothing from anybody else.
    assert_eq!(
        demux.arrive(NOW, &udp(local, stranger(2))),
        Verdict::Unreachable
    );
    assert_eq!(demux.flow(Protocol::Udp, local, stranger(1)), Some(near));
    assert_eq!(demux.flow(Protocol::Udp, local, stranger(2)), None);
}

#[test]
fn a_connection_is_completed_accepted_and_found() {
    let (mut demux, client) = demux(9);
    let listener = demux
        .listen(client, &everything(Protocol::Tcp), end(ANY, 80), 4)
        .unwrap();
    let syn = tcp(end(HERE, 80), stranger(1), SYN);
    let (socket, _) = begun(demux.arrive(NOW, &syn));
    assert_eq!(demux.accept(listener), Ok(None));
    assert_eq!(
        demux.arrive(NOW, &syn),
        Verdict::Deliver(socket),
        "sent again"
    );
    assert_eq!(
        demux.arrive(NOW, &tcp(end(HERE, 80), stranger(1), ACK)),
        Verdict::Deliver(socket)
    );
    demux.complete(socket).unwrap();
    assert_eq!(demux.complete(socket), Err(Refusal::Kind));
    assert_eq!(demux.accept(listener), Ok(Some(socket)));
    assert_eq!(demux.look(socket).unwrap().0, Standing::Open);
    demux.close(listener, |_| {}).unwrap();
    assert_eq!(
        demux.arrive(NOW, &tcp(end(HERE, 80), stranger(1), ACK)),
        Verdict::Deliver(socket),
        "it stays"
    );
    demux.close(socket, |_| {}).unwrap();
    assert_eq!(demux.close(socket, |_| {}), Err(Refusal::Stale));
    assert_eq!(demux.accept(socket), Err(Refusal::Stale));
    assert!(demux.is_empty());
}

/// A flood of SYNs takes what the listener's client was promised, the oldest first, and no more.
#[test]
fn a_flood_costs_the_one_who_listens() {
    let (mut demux, client) = demux(0);
    let bystander = demux
        .admit(Share {
            sockets: 16,
            half_open: 8,
        })
        .unwrap();
    let all = everything(Protocol::Tcp);
    demux.listen(client, &all, end(HERE, 80), 4).unwrap();
    demux.listen(bystander, &all, end(HERE, 81), 4).unwrap();
    let (kept, _) = begun(demux.arrive(NOW, &tcp(end(HERE, 81), stranger(0), SYN)));
    let mut begun_by = Vec::new();
    for number in 0..10_000 {
        let (socket, gone) = begun(demux.arrive(NOW, &tcp(end(HERE, 80), stranger(number), SYN)));
        begun_by.push(socket);
        let oldest = number
            .checked_sub(8)
            .map(|oldest| begun_by[oldest as usize]);
        assert_eq!(gone, oldest);
    }
    assert_eq!(demux.len(), 2 + 1 + 8);
    assert_eq!(demux.look(kept).unwrap().0, Standing::HalfOpen);
    demux.complete(kept).unwrap();
}

/// What waits to be accepted is bounded by the backlog; a SYN beyond it is not answered, so that the peer tries again.
#[test]
fn a_backlog_is_a_bound() {
    let (mut demux, client) = demux(9);
    let listener = demux
        .listen(client, &everything(Protocol::Tcp), end(HERE, 80), 2)
        .unwrap();
    let sockets: Vec<Socket> = (0..3)
        .map(|n| begun(demux.arrive(NOW, &tcp(end(HERE, 80), stranger(n), SYN))).0)
        .collect();
    demux.complete(sockets[0]).unwrap();
    demux.complete(sockets[1]).unwrap();
    assert_eq!(demux.complete(sockets[2]), Err(Refusal::Share));
    assert_eq!(demux.look(sockets[2]), Err(Refusal::Stale));
    let more = demux.arrive(NOW, &tcp(end(HERE, 80), stranger(9), SYN));
    assert_eq!(more, Verdict::Ignore(Ignored::Backlog));
    assert_eq!(demux.accept(listener), Ok(Some(sockets[0])));
    let _ = begun(demux.arrive(NOW, &tcp(end(HERE, 80), stranger(9), SYN)));
}

#[test]
fn sockets_are_promised_and_not_taken_from_others() {
    let (mut demux, client) = demux(9);
    assert_eq!(
        demux.admit(Share {
            sockets: 49,
            half_open: 1
        }),
        Err(Refusal::Promised)
    );
    assert!(
        demux
            .admit(Share {
                sockets: u32::MAX,
                half_open: 1
            })
            .is_err()
    );
    let other = demux
        .admit(Share {
            sockets: 48,
            half_open: 1,
        })
        .unwrap();
    let all = everything(Protocol::Udp);
    for port in 1..=16 {
        demux.udp(client, &all, end(HERE, port)).unwrap();
    }
    assert_eq!(demux.udp(client, &all, end(HERE, 17)), Err(Refusal::Share));
    for port in 101..=148 {
        demux.udp(other, &all, end(HERE, port)).unwrap();
    }
    let mut gone = 0;
    demux.end(client, |_| gone += 1).unwrap();
    assert_eq!((gone, demux.len()), (16, 48));
    assert_eq!(demux.end(client, |_| {}), Err(Refusal::Stale));
    assert_eq!(demux.udp(client, &all, end(HERE, 1)), Err(Refusal::Stale));
    assert_eq!(
        demux.arrive(NOW, &udp(end(HERE, 1), stranger(1))),
        Verdict::Unreachable
    );
}

#[test]
fn half_open_connections_expire_in_order() {
    let (mut demux, client) = demux(9);
    demux
        .listen(client, &everything(Protocol::Tcp), end(HERE, 80), 4)
        .unwrap();
    let at = Nanoseconds::from_secs;
    let sockets: Vec<Socket> = (0..4)
        .map(|n| begun(demux.arrive(at(n), &tcp(end(HERE, 80), stranger(n as u32), SYN))).0)
        .collect();
    demux.complete(sockets[0]).unwrap();
    assert_eq!(demux.expire(client, at(2)), Ok(Some(sockets[1])));
    assert_eq!(demux.expire(client, at(2)), Ok(None));
    assert_eq!(demux.look(sockets[0]).unwrap().0, Standing::Waiting);
}

/// RFC 6056: ports towards one remote end follow each other, but begin elsewhere for each, and differ by the secret.
#[test]
fn ports_of_connections_are_dynamic_and_differ_by_secret() {
    let port = |secret: u8| {
        let limits = Limits {
            sockets: 4,
            clients: 1,
        };
        let mut demux = Demux::new(limits, [secret; 16], Bucket::new(0, 0, NOW));
        let client = demux
            .admit(Share {
                sockets: 4,
                half_open: 1,
            })
            .unwrap();
        let all = Connect::new(Protocol::Tcp, Prefix::new(ANY, 0).unwrap(), 1, u16::MAX);
        let socket = demux
            .connect(client, &all, Protocol::Tcp, HERE, stranger(1))
            .unwrap();
        demux.look(socket).unwrap().1.port
    };
    let ports: Vec<u16> = (0..32).map(port).collect();
    assert!(ports.iter().all(|port| *port >= 49_152));
    let mut different = ports.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 28);
}

/// With a thousand sockets as with two: the buckets stay short, so a packet costs one hash and a step or two.
#[test]
fn buckets_stay_short() {
    let limits = Limits {
        sockets: 4096,
        clients: 1,
    };
    let mut demux = Demux::new(limits, [9; 16], Bucket::new(0, 0, NOW));
    let client = demux
        .admit(Share {
            sockets: 4096,
            half_open: 4096,
        })
        .unwrap();
    demux
        .listen(client, &everything(Protocol::Tcp), end(HERE, 80), 4096)
        .unwrap();
    for number in 0..4095 {
        let _ = begun(demux.arrive(NOW, &tcp(end(HERE, 80), stranger(number), SYN)));
    }
    assert!(demux.longest_bucket() <= 9, "{}", demux.longest_bucket());
}

/// A place that is used again is another socket's, and another client's.
#[test]
fn what_is_gone_stays_gone_when_its_place_is_used_again() {
    let limits = Limits {
        sockets: 1,
        clients: 1,
    };
    let mut demux = Demux::new(limits, [7; 16], Bucket::new(1, 0, NOW));
    let share = Share {
        sockets: 1,
        half_open: 1,
    };
    let all = everything(Protocol::Udp);
    let client = demux.admit(share).unwrap();
    let first = demux.udp(client, &all, end(HERE, 53)).unwrap();
    demux.close(first, |_| {}).unwrap();
    let second = demux.udp(client, &all, end(HERE, 53)).unwrap();
    assert_ne!(first, second);
    assert_eq!(demux.close(first, |_| {}), Err(Refusal::Stale));
    assert_eq!(demux.look(first), Err(Refusal::Stale));
    demux.end(client, |_| {}).unwrap();
    let other = demux.admit(share).unwrap();
    let third = demux.udp(other, &all, end(HERE, 53)).unwrap();
    assert_eq!(demux.end(client, |_| {}), Err(Refusal::Stale));
    assert_eq!(demux.udp(client, &all, end(HERE, 54)), Err(Refusal::Stale));
    assert_eq!(demux.client_of(third), Ok(other));
}

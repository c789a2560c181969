//! What each export stands for, as the service's arguments say: one argument for each export, in their order.
//!
//! ```text
//! status                                        NetworkManager
//! echo                                          IcmpEcho
//! trace       [snap=N]                          PacketTrace, of N bytes of a frame, 54 where it does not say
//! tcp-listen  [ports=A-B] [sockets=N]           TcpListenAuthority
//! tcp-connect [to=ADDRESS/BITS] [ports=A-B] [sockets=N]   TcpConnectAuthority
//! udp-bind, udp-connect                         the same of datagrams
//! ```
//!
//! Sockets are promised to the export: whoever is granted another one cannot take them away.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use net_demux::{Client, Connect, Endpoint, Listen, Prefix, Protocol, Share, Wider};
use net_stack::Stack;
use sdk::Refusal;
use sdk::alloc::vec::Vec;

/// Sockets of an export that does not say how many.
const SOCKETS: u32 = 16;

/// Bytes of a frame that a trace shows where the export does not say: the heads of Ethernet, IPv4 and TCP.
const SNAP: u16 = 54;

/// The right to reach others, of both families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Of what.
    pub protocol: Protocol,
    families: [Option<Connect>; 2],
    /// What it says of itself.
    pub to: Option<(IpAddr, u8)>,
    /// Both included.
    pub ports: (u16, u16),
}

impl Reach {
    fn new(protocol: Protocol, to: Option<(IpAddr, u8)>, ports: (u16, u16)) -> Option<Self> {
        let one = |(address, bits)| {
            let prefix = Prefix::new(address, bits)?;
            Some(Connect::new(protocol, prefix, ports.0, ports.1))
        };
        let families = match to {
            Some(to) => [Some(one(to)?), None],
            None => [
                one((Ipv4Addr::UNSPECIFIED.into(), 0)),
                one((Ipv6Addr::UNSPECIFIED.into(), 0)),
            ],
        };
        Some(Self {
            protocol,
            families,
            to,
            ports,
        })
    }

    /// The part of it that covers an end.
    pub fn covering(&self, remote: Endpoint) -> Option<Connect> {
        let mut all = self.families.iter().flatten();
        all.find(|connect| connect.covers(self.protocol, remote))
            .copied()
    }

    /// The right to less.
    pub fn narrow(&self, to: Option<(IpAddr, u8)>, ports: (u16, u16)) -> Result<Self, Wider> {
        let narrowed = |connect: Connect| {
            let connect = connect.ports(ports.0, ports.1)?;
            match to {
                Some((address, bits)) => connect.to(Prefix::new(address, bits).ok_or(Wider)?),
                None => Ok(connect),
            }
        };
        let mut families = [None; 2];
        for (place, connect) in families.iter_mut().zip(self.families.iter().flatten()) {
            *place = narrowed(*connect).ok();
        }
        if families.iter().all(Option::is_none) {
            return Err(Wider);
        }
        Ok(Self {
            protocol: self.protocol,
            families,
            to: to.or(self.to),
            ports,
        })
    }
}

/// The right to take what comes to ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// Of what.
    pub protocol: Protocol,
    /// What decides.
    pub listen: Listen,
    /// What it says of itself.
    pub at: Option<IpAddr>,
    /// Both included.
    pub ports: (u16, u16),
}

impl Ports {
    fn new(protocol: Protocol, ports: (u16, u16)) -> Self {
        Self {
            protocol,
            listen: Listen::new(protocol, ports.0, ports.1),
            at: None,
            ports,
        }
    }

    /// The right to less.
    pub fn narrow(&self, at: Option<IpAddr>, ports: (u16, u16)) -> Result<Self, Wider> {
        let listen = self.listen.ports(ports.0, ports.1)?;
        let listen = match at {
            Some(at) => listen.at(at)?,
            None => listen,
        };
        Ok(Self {
            protocol: self.protocol,
            listen,
            at: at.or(self.at),
            ports,
        })
    }
}

/// What a facet stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// `NetworkManager`.
    Status,
    /// `IcmpEcho`.
    Echo,
    /// `PacketTrace`, of so many bytes of a frame.
    Trace(u16),
    /// `TcpListenAuthority` or `UdpBindAuthority`.
    Ports(Ports),
    /// `TcpConnectAuthority` or `UdpConnectAuthority`.
    Reach(Reach),
}

/// An export, as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Export {
    right: Right,
    sockets: u32,
}

/// An export with its share of sockets; those of the first two kinds have none.
#[derive(Debug)]
pub struct Shared {
    /// What its facet stands for.
    pub right: Right,
    /// Whose sockets it opens.
    pub client: Option<Client>,
    /// Facets of narrower rights that were made of it.
    pub narrowed: usize,
}

impl Export {
    /// How many sockets it is promised.
    pub const fn sockets(&self) -> u32 {
        self.sockets
    }

    /// Has the sockets promised.
    pub fn admit(self, stack: &mut Stack) -> Result<Shared, Refusal> {
        let shared = |client| Shared {
            right: self.right,
            client,
            narrowed: 0,
        };
        if self.sockets == 0 {
            return Ok(shared(None));
        }
        let share = Share {
            sockets: self.sockets,
            half_open: self.sockets.div_ceil(2),
        };
        let client = stack.admit(share).map_err(|_| Refusal::OverBudget)?;
        Ok(shared(Some(client)))
    }
}

/// An argument that says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unknown;

/// Reads the arguments.
///
/// # Errors
/// One of them says nothing.
pub fn read(arguments: &[&str]) -> Result<Vec<Export>, Unknown> {
    let mut exports = Vec::new();
    for argument in arguments {
        exports.push(read_one(argument).ok_or(Unknown)?);
    }
    Ok(exports)
}

fn read_one(argument: &str) -> Option<Export> {
    let mut words = argument.split_whitespace();
    let kind = words.next()?;
    let (mut to, mut ports, mut sockets) = (None, (1, u16::MAX), SOCKETS);
    let mut snap = SNAP;
    for word in words {
        match word.split_once('=')? {
            ("to", prefix) => {
                let (address, bits) = prefix.split_once('/')?;
                to = Some((address.parse().ok()?, bits.parse().ok()?));
            }
            ("ports", range) => {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                ports = (first.parse().ok()?, last.parse().ok()?);
            }
            ("snap", bytes) if kind == "trace" => snap = bytes.parse().ok()?,
            ("sockets", count) => sockets = count.parse().ok().filter(|count| *count > 0)?,
            _ => return None,
        }
    }
    if ports.0 == 0 || ports.0 > ports.1 {
        return None;
    }
    let right = match kind {
        "status" | "echo" | "trace" => {
            sockets = 0;
            match kind {
                "status" => Right::Status,
                "echo" => Right::Echo,
                _ => Right::Trace(snap),
            }
        }
        "tcp-listen" => Right::Ports(Ports::new(Protocol::Tcp, ports)),
        "udp-bind" => Right::Ports(Ports::new(Protocol::Udp, ports)),
        "tcp-connect" => Right::Reach(Reach::new(Protocol::Tcp, to, ports)?),
        "udp-connect" => Right::Reach(Reach::new(Protocol::Udp, to, ports)?),
        _ => return None,
    };
    Some(Export { right, sockets })
}

#[cfg(test)]
mod tests {
    use super::{Right, Unknown, read};
    use net_demux::{Endpoint, Protocol};

    fn end(text: &str) -> Endpoint {
        let end: core::net::SocketAddr = text.parse().unwrap();
        Endpoint {
            address: end.ip(),
            port: end.port(),
        }
    }

    #[test]
    fn each_argument_is_one_right() {
        let arguments = [
            "status",
            "tcp-listen ports=8080 sockets=4",
            "tcp-connect to=10.0.0.0/8 ports=80-443",
            "udp-connect",
        ];
        let exports = read(&arguments).unwrap();
        let sockets: [u32; 4] = [0, 4, 16, 16];
        assert!(exports.iter().map(|export| export.sockets).eq(sockets));
        let Right::Reach(reach) = exports[2].right else {
            panic!("{:?}", exports[2]);
        };
        let covers = |text| reach.covering(end(text)).is_some();
        assert!(covers("10.0.2.2:80") && !covers("11.0.2.2:80") && !covers("10.0.2.2:79"));
        let Right::Reach(all) = exports[3].right else {
            panic!("{:?}", exports[3]);
        };
        assert_eq!(all.protocol, Protocol::Udp);
        assert!(all.covering(end("[fd00::1]:53")).is_some());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "",
            "all",
            "tcp-listen ports=0",
            "tcp-listen ports=9-8",
            "tcp-connect to=10.0.0.0/33",
            "tcp-listen sockets=0",
            "tcp-listen port=1",
            "udp-bind ports=70000",
        ] {
            assert_eq!(read(&[wrong]), Err(Unknown), "{wrong}");
        }
    }

    #[test]
    fn a_narrower_right_never_widens_again() {
        let exports = read(&["tcp-connect"]).unwrap();
        let Right::Reach(all) = exports[0].right else {
            panic!("{:?}", exports[0]);
        };
        let ten = Some(("10.0.0.0".parse().unwrap(), 8));
        let narrow = all.narrow(ten, (80, 90)).unwrap();
        assert!(narrow.covering(end("[fd00::1]:80")).is_none());
        assert!(narrow.narrow(None, (79, 90)).is_err());
        assert!(
            narrow
                .narrow(Some(("10.0.0.0".parse().unwrap(), 7)), (80, 90))
                .is_err()
        );
        assert!(
            narrow
                .narrow(Some(("::".parse().unwrap(), 0)), (80, 90))
                .is_err()
        );
        assert!(narrow.narrow(None, (85, 85)).is_ok());
    }
}

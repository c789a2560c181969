//! The network of a guest that a person starts: QEMU's own, behind this machine's.
//!
//! Invariant: nothing but what was asked for reaches the guest from outside, and that from this machine alone.

use std::ffi::OsString;
use std::net::TcpListener;

/// A port of this machine, and the port of the guest that connections to it reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    host: u16,
    guest: u16,
}

/// Reads `HOST:GUEST`.
pub fn forward(text: &str) -> Result<Forward, String> {
    let port = |text: &str| text.parse().ok().filter(|port: &u16| *port != 0);
    let ports = text
        .split_once(':')
        .and_then(|(host, guest)| Some((port(host)?, port(guest)?)));
    match ports {
        Some((host, guest)) => Ok(Forward { host, guest }),
        None => Err("two ports are needed, as 8080:80".to_owned()),
    }
}

/// The port of this machine at which the page that shows the system is said to be, and that of the guest.
const PAGE: Forward = Forward {
    host: 8080,
    guest: 80,
};

/// How the page that the system serves is reached, if nothing was asked for that reaches it: at its usual port, or where somebody has
/// that, at another one, which is said.
pub fn for_page(forwards: &[Forward]) -> Option<Forward> {
    if forwards.iter().any(|forward| forward.guest == PAGE.guest) {
        return None;
    }
    let is_free = |port| {
        TcpListener::bind(("127.0.0.1", port))
            .and_then(|l| l.local_addr())
            .ok()
    };
    if is_free(PAGE.host).is_some() {
        return Some(PAGE);
    }
    let host = is_free(0)?.port();
    eprintln!(
        "port {} is taken: the page that the system says is at http://127.0.0.1:{host}/, with the same ticket",
        PAGE.host
    );
    Some(Forward { host, ..PAGE })
}

/// QEMU's arguments for a virtio interface at its own network.
pub fn arguments(forwards: &[Forward]) -> [OsString; 4] {
    let mut network = "user,id=network".to_owned();
    for Forward { host, guest } in forwards {
        network.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
    }
    let device = "virtio-net-pci,netdev=network,romfile=";
    ["-netdev", &network, "-device", device].map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::{arguments, for_page, forward};

    #[test]
    fn the_page_is_forwarded_unless_somebody_did_so() {
        assert_eq!(for_page(&[forward("9:80").unwrap()]), None);
        let page = for_page(&[forward("9:22").unwrap()]).unwrap();
        assert_eq!(page.guest, 80);
    }

    #[test]
    fn forwards_are_two_ports_and_reach_this_machine_alone() {
        for wrong in ["80", "0:80", "80:0", "a:80", "80:80:80", "70000:1"] {
            assert!(forward(wrong).is_err(), "{wrong}");
        }
        let [_, network, ..] = arguments(&[forward("8080:80").unwrap()]);
        assert_eq!(network, "user,id=network,hostfwd=tcp:127.0.0.1:8080-:80");
    }
}

//! The network of a guest that a person starts: QEMU's own, behind this machine's.
//!
//! Invariant: nothing but what was asked for reaches the guest from outside, and that from this machine alone.

use std::ffi::OsString;

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
    use super::{arguments, forward};

    #[test]
    fn forwards_are_two_ports_and_reach_this_machine_alone() {
        for wrong in ["80", "0:80", "80:0", "a:80", "80:80:80", "70000:1"] {
            assert!(forward(wrong).is_err(), "{wrong}");
        }
        let [_, network, ..] = arguments(&[forward("8080:80").unwrap()]);
        assert_eq!(network, "user,id=network,hostfwd=tcp:127.0.0.1:8080-:80");
    }
}

//! Linux as the other host of a package's private network, by which it is probed.
//!
//! Invariant: nothing outside of the namespaces is reached.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::smoke::namespace::Namespace;

/// The link, dnsmasq, who asks what is malformed before what is not, and who wants the page.
pub const NAMESPACE: Namespace = Namespace {
    script: SCRIPT,
    needs: &["dnsmasq", "python3", "ping", "curl"],
};

/// What QEMU's interface is attached to there.
pub const NETDEV: &str = "tap,id=n0,ifname=tap0,script=no,downscript=no";

/// The interface of Google's first and second generation of machines: legacy, no messages, long queues.
pub const LEGACY_NIC: &str = "virtio-net-pci,netdev=n0,addr=4,mac=42:01:0a:c8:00:26,romfile=,disable-modern=on,vectors=0,rx_queue_size=1024";

/// What the guest says once it can be asked over both families.
pub const READY: &str = "@net.ipv6 origin=dhcp by=netstack";

/// It says `done` at its end.
const SCRIPT: &str = r#"
set -e
cd "$work"
ip link set lo up
ip tuntap add dev tap0 mode tap
ip addr add 10.200.0.1/24 dev tap0
ip -6 addr add fd20::1/64 dev tap0 nodad
ip link set tap0 up
dnsmasq -d --conf-file=/dev/null --user=root --interface=tap0 --bind-interfaces --no-resolv --no-hosts \
  --dhcp-range=10.200.0.30,10.200.0.40,600 --dhcp-range=fd20::100,fd20::1ff,64,600 \
  --dhcp-host=42:01:0a:c8:00:26,10.200.0.38 --enable-ra --ra-param=tap0,4,60 --dhcp-leasefile="$work/leases" </dev/null >"$work/dnsmasq" 2>&1 &
probe() {
  until [ -e go ]; do sleep 0.2; done
  six=$(awk '$3 ~ /^fd20/ { print $3 }' leases)
  # A checksum that is wrong, and a header that is cut off: nobody answers.
  python3 - <<'EOF'
import socket
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.settimeout(2)
for bad in (bytes([8, 0, 0, 0, 1, 1, 0, 1]) + b"capOS", bytes([8, 0, 0])):
    raw.sendto(bad, ("10.200.0.38", 0))
try:
    print("malformed answered", raw.recv(100).hex())
except TimeoutError:
    print("malformed unanswered")
EOF
  ping -c 3 -i 0.3 -W 5 10.200.0.38 | grep received || true
  ping -c 3 -i 0.3 -W 5 "$six" | grep received || true
  curl -s --max-time 20 -H 'Host: localhost:80' http://10.200.0.38/ | grep -c '<title>' || true
  echo done
}
probe </dev/null >"$work/probe" 2>"$work/probe-errors" &
"#;

/// Lets it begin.
///
/// # Errors
/// The folder's.
pub fn ask(work: &Path) -> Result<()> {
    Ok(fs::write(work.join("go"), "")?)
}

/// What it saw, once it has come to its end.
///
/// # Errors
/// The folder's.
pub fn said(work: &Path) -> Result<Option<String>> {
    let said = fs::read_to_string(work.join("probe"))?;
    Ok(said.ends_with("done\n").then_some(said))
}

/// Whether it saw three answers over each family, none to what is malformed, and the page.
///
/// # Errors
/// What it saw instead.
pub fn judge(said: &str) -> Result<()> {
    let answered = said.matches("3 packets transmitted, 3 received").count();
    ensure!(
        answered == 2 && said.contains("malformed unanswered\n") && said.contains("\n1\ndone\n"),
        "Linux saw {said:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::judge;

    const GOOD: &str = "malformed unanswered\n3 packets transmitted, 3 received, 0% packet loss\n3 packets transmitted, 3 received, 0% packet loss\n1\ndone\n";

    #[test]
    fn every_part_counts() {
        assert!(judge(GOOD).is_ok());
        for (part, other) in [
            ("unanswered", "answered 08"),
            ("3 received", "2 received"),
            ("\n1\n", "\n0\n"),
        ] {
            assert!(judge(&GOOD.replacen(part, other, 1)).is_err(), "{part}");
        }
    }
}

//! The network of the system `network` beside Linux: dnsmasq gives addresses, Linux's own TCP and ICMP are the peer.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::namespace::Namespace;

/// The link with Linux at its other end, dnsmasq, a server of pages, and what Linux asks of the guest; that says `done` at its end.
const SCRIPT: &str = r#"
set -e
cd "$work"
ip link set lo up
ip tuntap add dev tap0 mode tap
ip addr add 10.77.0.1/24 dev tap0
ip -6 addr add fd77::1/64 dev tap0 nodad
ip link set tap0 up
dnsmasq -d --conf-file=/dev/null --user=root --interface=tap0 --bind-interfaces --no-resolv --no-hosts \
  --dhcp-range=10.77.0.50,10.77.0.60,120 --dhcp-range=fd77::100,fd77::1ff,64,120 \
  --dhcp-host=52:54:00:ca:05:01,10.77.0.55 --dhcp-option=option:T1,30 --enable-ra --ra-param=tap0,4,60 \
  --address=/linux.test/10.77.0.1 --address=/linux.test/fd77::1 --address=/nobody.test/ --dhcp-leasefile="$work/leases" </dev/null >"$work/dnsmasq" 2>&1 &
mkdir page
echo "a page by Linux" >page/index.html
(cd page && exec python3 -m http.server --bind :: 8000) </dev/null >"$work/http" 2>&1 &
linux() {
  six=""
  until [ -n "$six" ]; do
    sleep 0.3
    six=$(awk '$3 ~ /^fd77/ { print $3 }' leases)
  done
  sleep 3
  ping -c 3 -i 0.3 -W 5 10.77.0.55 | grep received
  ping -c 3 -i 0.3 -W 5 -s 1400 10.77.0.55 | grep received
  ping -c 3 -i 0.3 -W 5 "$six" | grep received
  curl -s --max-time 5 http://10.77.0.55:9/ || echo "closed $?"
  for host in 10.77.0.55 "$six"; do
    until (exec 3<>"/dev/tcp/$host/2323" && echo "Linux says hello by ${host%%[.:]*}" >&3); do
      sleep 0.3
    done
    sleep 2
  done
  echo done
}
linux </dev/null >"$work/linux" 2>"$work/linux-errors" &
"#;

/// What Linux saw.
fn check(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join("linux");
    while !fs::read_to_string(&path)?.ends_with("done\n") {
        if Instant::now() > peer.deadline {
            bail!(
                "Linux has not come to its end: {:?}",
                fs::read_to_string(&path)
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
    let said = fs::read_to_string(&path)?;
    let answered = said.matches("3 packets transmitted, 3 received").count();
    // curl's 7: the connection was refused, at once.
    ensure!(
        answered == 3 && said.contains("closed 7\n"),
        "Linux saw {said:?}"
    );
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "net-tap",
        question: "Do the stack and Linux find, ping and connect to each other over IPv4 and IPv6, with leases that are renewed?",
        rows: &["L4-06", "L4-08", "L4-10", "V6-03", "V6-04", "V6-05", "V6-06", "V6-08"],
        namespace: Some(Namespace {
            script: SCRIPT,
            needs: &["dnsmasq", "python3", "ping", "curl"],
        }),
        manifest: "network",
        extra: &[
            "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
        ],
        steps: &[
            Step::All(&["@net.dhcp lease=bound", "@net.ipv6 origin=dhcp"]),
            Step::Type("ping 10.77.0.1 2"),
            Step::Wait("2 of 2 answered"),
            Step::Type("ping6 fd77::1 2"),
            Step::Wait("2 of 2 answered"),
            Step::Type("resolve Linux.Test"),
            Step::Wait("fd77::1"),
            Step::Wait("10.77.0.1"),
            Step::Type("resolve nobody.test"),
            Step::Wait("resolve: nobody.test: nothing of that name exists"),
            Step::Type("fetch http://linux.test:8000/"),
            Step::Wait("16 bytes"),
            Step::Type("fetch http://10.77.0.1:8000/"),
            Step::Wait("16 bytes"),
            Step::Type("fetch http://[fd77::1]:8000/"),
            Step::Wait("16 bytes"),
            Step::Type("listen 2323"),
            Step::Wait("Linux says hello by 10"),
            Step::Type("listen 2323"),
            Step::Wait("Linux says hello by fd77"),
            Step::Peer(check),
            Step::Wait("@net.dhcp lease=renewed"),
            Step::Type("net"),
            Step::Wait("name servers"),
            Step::Type("halt"),
        ],
        required: &[
            "@net.dhcp lease=bound address=\"10.77.0.55\" prefix=24 router=\"10.77.0.1\"",
            "fd77::1: echo 2 after",
            "a page by Linux",
            "Linux says hello by fd77",
            "@net.dhcp lease=renewed",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@net.dhcp lease=lost",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

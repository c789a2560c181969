//! What the oracle boots into: its tools, the module, and one script.

use std::fs;

use anyhow::{Context, Result};
use newc::{Node, Writer};

use super::fetch::Oracle;

/// Says `oracle.WORD` on the console for each step that went well.
const INIT: &str = r#"#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
end() { echo "oracle.end $1"; poweroff -f; }
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for word in $(cat /proc/cmdline); do case $word in oracle_*) eval $word;; esac; done
[ -e /gve.ko.xz ] && unxz /gve.ko.xz
insmod /gve.ko && echo oracle.module || end no-module
ip link set eth0 up && echo oracle.open || end no-link
udhcpc -f -q -n -t 8 -T 2 -i eth0 -s /lease || end no-lease
ping -c 3 -W 5 10.0.2.2 && echo oracle.ping || end no-ping
nc 10.0.2.2 $oracle_down < /dev/null > /tmp/blob
echo "oracle.down $(sha256sum < /tmp/blob)"
nc 10.0.2.2 $oracle_up < /tmp/blob && echo oracle.sent
ip link set eth0 down && echo oracle.closed
ip link set eth0 up && ping -c 1 -W 5 10.0.2.2 && echo oracle.again
rmmod gve && echo oracle.removed
dmesg | grep -i -e gvnic -e watchdog -e warning | tail -20
end whole
"#;

const LEASE: &str = r#"#!/bin/sh
case $1 in
deconfig) ip addr flush dev $interface ;;
bound) ip addr add $ip/$mask dev $interface; ip route add default via $router; echo "oracle.lease ip=$ip router=$router" ;;
esac
"#;

/// The archive.
///
/// # Errors
///
/// A file that was fetched is gone.
pub fn make(oracle: &Oracle) -> Result<Vec<u8>> {
    let busybox = fs::read(&oracle.busybox).context("no busybox")?;
    let module = fs::read(&oracle.module).context("no module")?;
    let name = oracle.module.file_name().unwrap_or_default();
    let mut writer = Writer::new(Vec::new());
    writer.node("bin", Node::Folder, &[])?;
    writer.node("bin/busybox", Node::Program, &busybox)?;
    writer.node("bin/sh", Node::Program, &busybox)?;
    writer.node("init", Node::Program, INIT.as_bytes())?;
    writer.node("lease", Node::Program, LEASE.as_bytes())?;
    writer.node(&name.to_string_lossy(), Node::File, &module)?;
    Ok(writer.finish()?)
}

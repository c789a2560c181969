//! A connection over a wire that loses, doubles, swaps and damages frames, and carries no long ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ::sabotage::points;
use anyhow::{Result, ensure};

use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::echo_bytes;
use crate::smoke::relay::{Badness, Relay};
use crate::smoke::sabotage::{Break, Sabotage};

/// What is sent, and comes back.
const BYTES: usize = 1 << 20;
/// The interface says that packets are no longer than this, and the wire holds it to that.
const MTU: usize = 1280;
const BADNESS: Badness = Badness {
    lost: 5,
    doubled: 10,
    swapped: 10,
    damaged: 5,
    mtu: MTU,
};
const SERVED: &str = "@mirror.served bytes=1048576 sessions=1 damaged=true";

/// Has the guest send all of it back, and sees that the wire was as bad as it says.
fn carried(peer: &mut Peer<'_>) -> Result<()> {
    let relay = Relay::start(peer.work, BADNESS)?;
    let waited = peer.session.wait(peer.deadline, |serial| {
        let mut lines = serial.lines().iter();
        lines.any(|line| line.starts_with("@mirror.listening"))
    });
    ensure!(waited == Waited::Seen, "nobody listens");
    let from = Instant::now();
    echo_bytes(peer, BYTES)?;
    let done = relay.done();
    eprintln!(
        "    {BYTES} bytes each way in {:.1?}: {done:?}",
        from.elapsed()
    );
    let count = |what: &AtomicU64| what.load(Ordering::Relaxed);
    let all = [&done.lost, &done.doubled, &done.swapped, &done.damaged];
    ensure!(
        all.into_iter().all(|what| count(what) > 0) && count(&done.too_long) == 0,
        "the wire did {done:?}"
    );
    // The end of the connection goes over the same wire.
    let waited = peer.session.wait(peer.deadline, |serial| {
        let mut lines = serial.lines().iter();
        lines.any(|line| line.starts_with("@mirror.served"))
    });
    ensure!(waited == Waited::Seen, "the guest did not come to its end");
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "net-impaired",
        question: "Does a connection carry a mebibyte each way, the same bytes, over a wire that loses, doubles, swaps and damages frames?",
        rows: &["L4-02"],
        manifest: "smoke/net-impaired",
        extra: &[
            "-netdev", "dgram,id=n0,local.type=unix,local.path={work}/guest,remote.type=unix,remote.path={work}/relay-guest",
            "-netdev", "dgram,id=d0,local.type=unix,local.path={work}/wire,remote.type=unix,remote.path={work}/relay-wire",
            "-netdev", "hubport,id=h0,hubid=1,netdev=d0",
            "-netdev", "user,id=u0,hostfwd=tcp:127.0.0.1:0-:7",
            "-netdev", "hubport,id=h1,hubid=1,netdev=u0",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,host_mtu=1280,romfile=",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[Step::Peer(carried)],
        required: &["@mirror.listening port=7", SERVED],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@net.reopened",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_SKIP_CHECKSUMS,
        smoke: "net-impaired",
        breaks: Break::Missing(SERVED),
    }
}

//! Whether what guards the page holds: hosts, origins, sessions, tokens, and the bundle's hash.

use ::sabotage::points;
use anyhow::{Result, ensure};
use sha2::{Digest as _, Sha256};

use super::{EXTRA, FORBIDDEN, OWN, ask, sign_in, state};
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::virtio_blk::DISK;
use crate::smoke::sabotage::{Break, Sabotage};

/// The hash of the page as it was reviewed.
const PIN: &str = include_str!("../../../../../services/system/web-ui/page/PIN");
const BUNDLE: &str = "@web.bundle reviewed=true files=3";
const FIRST: &str = "@web.ended misdirected=3 origin=3 token=2 session=3";
const SECOND: &str = "@web.ended misdirected=3 origin=3 token=2 session=5";

/// What is served has the hash that was reviewed.
fn bundle(peer: &mut Peer<'_>) -> Result<()> {
    let mut hash = Sha256::new();
    for path in ["/", "/app.js", "/style.css"] {
        let reply = ask(peer, &format!("GET {path}"), OWN, "")?;
        ensure!(reply.status == 200, "{path}: {}", reply.status);
        for (name, has) in [
            ("Content-Security-Policy", "default-src 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ] {
            let value = reply.header(name).unwrap_or_default();
            ensure!(value.contains(has), "{path}: {name} is {value:?}");
        }
        hash.update(path);
        hash.update([0]);
        hash.update(&reply.body);
        hash.update([0]);
    }
    let digits: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Of the sabotaged bundle the guest itself says so.
    let said = peer
        .session
        .serial()
        .lines()
        .iter()
        .any(|line| line.starts_with("@web.bundle reviewed=false"));
    ensure!(
        said || digits == PIN.trim(),
        "the bundle that is served has the hash {digits}"
    );
    Ok(())
}

/// Asks what is to be refused. How that ended the guest tells with the end of the session: what is answered here is not looked at,
/// because where a check is missing the later ones still have to be reached.
fn guarded(peer: &mut Peer<'_>) -> Result<()> {
    for line in ["GET /state", "GET /events", "GET /session"] {
        ask(peer, line, OWN, "")?;
    }
    let first = sign_in(peer, None)?;
    let with = |headers: &str| format!("{headers}{}", first.cookie);
    for host in [
        "rebound.example",
        "127.0.0.1.rebound.example:8080",
        "10.0.2.15",
    ] {
        ask(peer, "GET /state", &with(&format!("Host: {host}\r\n")), "")?;
    }
    let crossed = with("Host: 127.0.0.1:8080\r\nOrigin: http://evil.example\r\n");
    ask(peer, "GET /state", &crossed, "")?;
    let fetched = with("Host: 127.0.0.1:8080\r\nSec-Fetch-Site: cross-site\r\n");
    ask(peer, "GET /state", &fetched, "")?;
    let forged = format!("{crossed}{}", first.token);
    ask(peer, "POST /session/end", &forged, "")?;
    let wrong = format!("X-CSRF-Token: {}\r\n", "0".repeat(64));
    for token in ["", &wrong] {
        ask(
            peer,
            "POST /session/end",
            &format!("{}{token}", with(OWN)),
            "",
        )?;
    }
    ask(
        peer,
        "POST /session/end",
        &format!("{}{}", with(OWN), first.token),
        "",
    )?;
    // Whoever kept the cookie, and whoever kept the ticket.
    ask(peer, "GET /state", &with(OWN), "")?;
    ask(peer, "POST /session", OWN, &first.ticket)?;
    let second = sign_in(peer, Some(&first.ticket))?;
    let headers = format!("{OWN}{}{}", second.cookie, second.token);
    ask(peer, "POST /session/end", &headers, "").map(drop)
}

/// What the page is told is what is there.
fn told(peer: &mut Peer<'_>) -> Result<()> {
    let session = sign_in(peer, None)?;
    let state = state(peer, &session)?;
    let processes = state["processes"].as_array().map_or(0, Vec::len);
    ensure!(processes == 8, "{processes} processes");
    let names: Vec<&str> = state["processes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| p["name"].as_str())
        .collect();
    for name in [
        "init", "disk", "volume", "nic", "netstack", "web", "victim", "shell",
    ] {
        ensure!(names.contains(&name), "{name} is not among {names:?}");
    }
    let id = |name: &str| {
        let all = state["processes"].as_array().into_iter().flatten();
        all.filter(|p| p["name"] == name)
            .find_map(|p| p["id"].as_u64())
    };
    let devices = state["devices"].as_array().into_iter().flatten();
    let disk = devices
        .filter(|device| device["driver"] == "virtio-blk")
        .collect::<Vec<_>>();
    ensure!(
        disk.len() == 1 && disk[0]["owner"].as_u64() == id("init"),
        "{disk:?}"
    );
    let reach: Vec<u64> = disk[0]["reach"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r[0].as_u64())
        .collect();
    let can = |name| id(name).is_some_and(|id| reach.contains(&id));
    ensure!(
        can("disk")
            && can("volume")
            && can("victim")
            && !can("web")
            && !can("shell")
            && !can("netstack"),
        "the disk is said to be reached by {reach:?}"
    );
    ensure!(
        state["network"]["address"] == "10.0.2.15/24",
        "{}",
        state["network"]
    );
    let lines = state["log"].as_array().map_or(0, Vec::len);
    ensure!(
        lines > 0 && state["left_out"] == 0,
        "{lines} lines of the log"
    );
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "web-ui",
        question: "Is the page the one that was reviewed, does it tell what is there, and to nobody but a session's own pages?",
        rows: &["UI-01", "UI-02", "UI-03"],
        manifest: "smoke/web-ui",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        extra: EXTRA,
        steps: &[
            Step::All(&["@web.listening", "@net.dhcp lease=bound", "@net.ipv6 origin=advertised"]),
            Step::Peer(bundle),
            Step::Peer(guarded),
            Step::Peer(told),
            Step::Type("halt"),
        ],
        required: &[BUNDLE, FIRST, SECOND],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::HTTP_OTHER_BUNDLE,
        smoke: "web-ui",
        breaks: Break::Missing(BUNDLE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::HTTP_ANY_HOST,
        smoke: "web-ui",
        breaks: Break::Missing(FIRST),
    }
}

inventory::submit! {
    Sabotage {
        point: points::HTTP_ANY_ORIGIN,
        smoke: "web-ui",
        breaks: Break::Missing(FIRST),
    }
}

inventory::submit! {
    Sabotage {
        point: points::HTTP_ANY_TOKEN,
        smoke: "web-ui",
        breaks: Break::Missing(FIRST),
    }
}

inventory::submit! {
    Sabotage {
        point: points::HTTP_KEEP_ENDED,
        smoke: "web-ui",
        breaks: Break::Missing(SECOND),
    }
}

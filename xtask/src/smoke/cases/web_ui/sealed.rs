//! The page behind TLS: curl and OpenSSL as clients, and who speaks no TLS, or an older one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use ::sabotage::points;
use anyhow::{Context, Result, ensure};

use super::{connect_at, ticket};
use crate::qemu::Feature;
use crate::session::Waited;
use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::net_slirp::forwarded;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const PORT: u16 = 443;
const IDENTITY: &str = "@tls.identity scheme=ecdsa-p256 names=2 key=made";
const AGAIN: &str = "@tls.identity scheme=ecdsa-p256 names=2 key=kept";
/// Where the hash of the first boot's key is kept for the second.
const PINNED: &str = "pinned";
const ENDED: &str = "@web.ended misdirected=0 origin=0 token=0 session=0 unreadable=0";
/// One file of the page as it was reviewed.
const SCRIPT: &[u8] = include_bytes!("../../../../../services/system/web-ui/page/app.js");

/// curl, which takes no other key than this.
struct Curl<'a> {
    port: u16,
    pin: &'a str,
    work: &'a Path,
}

impl Curl<'_> {
    /// The status and the body; refused where the key is another.
    fn ask(&self, path: &str, arguments: &[&str]) -> Result<(String, Vec<u8>)> {
        let body = self.work.join("body");
        let said = Command::new("curl")
            .args([
                "-s",
                "-k",
                "--max-time",
                "60",
                "--tlsv1.3",
                "-w",
                "%{http_code}",
            ])
            .args(["--pinnedpubkey", &format!("sha256//{}", self.pin)])
            .args([
                "-H",
                "Host: 127.0.0.1:8443",
                "-H",
                "Origin: https://127.0.0.1:8443",
            ])
            .arg("-o")
            .arg(&body)
            .args(arguments)
            .arg(format!("https://127.0.0.1:{}{path}", self.port))
            .output()
            .context("curl")?;
        ensure!(said.status.success(), "curl ended with {}", said.status);
        let status = String::from_utf8_lossy(&said.stdout).into_owned();
        Ok((status, std::fs::read(&body)?))
    }
}

/// The hash of the key that the guest has stated.
fn pin(peer: &Peer<'_>) -> Result<String> {
    let lines = peer.session.serial().lines();
    let stated = lines.iter().find_map(|line| {
        let (_, rest) = line.strip_prefix("@tls.identity")?.split_once("spki~")?;
        Some(rest.split(' ').next()?.trim_matches('"').to_owned())
    });
    stated.context("no key was stated")
}

/// A session by curl, with the key that was stated on the serial line and no other.
fn asked(peer: &mut Peer<'_>) -> Result<()> {
    let ticket = ticket(peer, None)?;
    let pin = pin(peer)?;
    std::fs::write(peer.work.join(PINNED), &pin)?;
    let curl = Curl {
        port: forwarded(peer, PORT)?,
        pin: &pin,
        work: peer.work,
    };
    let (status, body) = curl.ask("/app.js", &[])?;
    ensure!(
        status == "200" && body == SCRIPT,
        "{status}, {} bytes",
        body.len()
    );
    let jar = peer.work.join("cookies");
    let jar = jar.to_str().context("no path")?;
    let (status, body) = curl.ask("/session", &["-c", jar, "-d", &ticket])?;
    ensure!(status == "200", "a session: {status}");
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let token = body["token"].as_str().context("no token")?;
    let token = format!("X-CSRF-Token: {token}");
    let (status, body) = curl.ask("/state", &["-b", jar])?;
    let state: serde_json::Value = serde_json::from_slice(&body)?;
    let mut names = state["processes"].as_array().into_iter().flatten();
    ensure!(
        status == "200" && names.any(|one| one["name"] == "tls"),
        "{status}"
    );
    let (status, _) = curl.ask("/session/end", &["-b", jar, "-H", &token, "-d", ""])?;
    ensure!(status == "200", "the session's end: {status}");
    let other = Curl {
        pin: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ..curl
    };
    ensure!(other.ask("/", &[]).is_err(), "curl takes any key");
    Ok(())
}

/// After a restart curl takes the page by the hash that the boot before has stated.
fn same(peer: &mut Peer<'_>) -> Result<()> {
    let pin = std::fs::read_to_string(peer.work.join(PINNED))?;
    let curl = Curl {
        port: forwarded(peer, PORT)?,
        pin: &pin,
        work: peer.work,
    };
    let (status, body) = curl.ask("/app.js", &[]).context("with the first key")?;
    ensure!(status == "200" && body == SCRIPT, "{status}");
    Ok(())
}

/// What OpenSSL says of a connection with these arguments.
fn openssl(port: u16, arguments: &[&str]) -> Result<String> {
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .output()
        .context("openssl")?;
    Ok(String::from_utf8_lossy(&child.stdout).into_owned())
}

/// OpenSSL gets the version and the suite; an older version, and who speaks no TLS, get nothing.
fn refused(peer: &mut Peer<'_>) -> Result<()> {
    let port = forwarded(peer, PORT)?;
    let said = openssl(port, &["-tls1_3"])?;
    ensure!(
        said.contains("TLS_CHACHA20_POLY1305_SHA256") && said.contains("X25519"),
        "{said}"
    );
    let said = openssl(port, &["-tls1_2"])?;
    ensure!(said.contains("Cipher is (NONE)"), "{said}");
    let mut plain = connect_at(port)?;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n\r\n")?;
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut answer);
    // At most an alert.
    ensure!(answer.len() <= 7, "{:?}", String::from_utf8_lossy(&answer));
    let waited = peer.session.wait(peer.deadline, |serial| {
        let mut lines = serial.lines().iter();
        lines.any(|line| line.starts_with("@tls.refused times=2"))
    });
    ensure!(waited == Waited::Seen, "what was refused was not counted");
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "web-tls",
        question: "Is the page served over TLS 1.3, with the key that the serial line states at the first boot and keeps, and to nobody who speaks less?",
        rows: &["UI-05"],
        manifest: "smoke/web-tls",
        disks: &[SmokeDisk {
            name: "keys.img",
            make: |path| Tool::new(path).mkfs(8, "keys"),
            bytes_per_s: 0,
        }],
        disk_device: "virtio-blk-pci",
        extra: &[
            "-netdev", "user,id=n0,ipv6=off,hostfwd=tcp:127.0.0.1:0-:443",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::All(&["@web.listening", "@net.dhcp lease=bound", "@net.ipv6 origin=link-local"]),
            Step::Peer(asked),
            Step::Peer(refused),
            Step::Type("halt"),
        ],
        again: &[Again {
            between: |_| Ok(()),
            steps: &[
                Step::All(&["@web.listening", "@net.dhcp lease=bound", "@net.ipv6 origin=link-local"]),
                Step::Peer(same),
                Step::Type("halt"),
            ],
        }],
        required: &[IDENTITY, "@tls.listening port=443", ENDED, "@tls.refused times=2", AGAIN],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@service.ended name=tls",
            "@service.ended name=web",
        ],
        sorted: true,
        needs: Some(Feature::Curl),
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::TLS_STATE_OTHER_KEY,
        smoke: "web-tls",
        // CURLE_SSL_PINNEDPUBKEYNOTMATCH
        breaks: Break::Step("exit status: 90"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::TLS_FORGET_KEY,
        smoke: "web-tls",
        // The second boot's page is sealed with another key than the first one's.
        breaks: Break::Step("with the first key: curl ended with exit status: 90"),
    }
}

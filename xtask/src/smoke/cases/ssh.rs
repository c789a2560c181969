//! People who come over SSH, with OpenSSH's client: who has the key gets a shell, and nobody gets anything else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ::sabotage::points;
use anyhow::{Context, Result, bail, ensure};
use base64::engine::{Engine as _, general_purpose::STANDARD};
use ssh_core::HostKey;

use crate::qemu::Feature;
use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::forwarded;
use crate::smoke::sabotage::{Break, Sabotage};

/// The secrets of two people: the manifest names the key of the first.
const KNOWN: [u8; 32] = [7; 32];
const STRANGER: [u8; 32] = [8; 32];
/// How long a person waits for what is to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a secret as OpenSSH keeps it (its PROTOCOL.key), for nobody else to read.
fn write_key(path: &Path, secret: &[u8; 32]) -> Result<()> {
    fn string(to: &mut Vec<u8>, field: &[u8]) {
        to.extend_from_slice(&(field.len() as u32).to_be_bytes());
        to.extend_from_slice(field);
    }
    let public = HostKey::new(secret).public().0;
    let mut blob = Vec::new();
    string(&mut blob, b"ssh-ed25519");
    string(&mut blob, &public);
    let mut private = [0; 8].to_vec();
    private.extend_from_slice(&blob);
    string(&mut private, &[&secret[..], &public].concat());
    string(&mut private, b"");
    private.extend((1..=8).take((8 - private.len() % 8) % 8));
    let mut file = b"openssh-key-v1\0".to_vec();
    for field in ["none", "none", ""] {
        string(&mut file, field.as_bytes());
    }
    file.extend_from_slice(&1_u32.to_be_bytes());
    string(&mut file, &blob);
    string(&mut file, &private);
    let mut to = std::fs::OpenOptions::new();
    let mut to = to
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let text = STANDARD.encode(&file);
    writeln!(
        to,
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----"
    )?;
    Ok(())
}

/// The client, which takes no other host key than the one that was stated.
struct Client<'a> {
    work: &'a Path,
    port: u16,
    key: &'a str,
}

impl Client<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        let hosts = self.work.join("known_hosts");
        command
            .args(["-F", "/dev/null", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args([
                "-o",
                "LogLevel=ERROR",
                "-o",
                "GlobalKnownHostsFile=/dev/null",
            ])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", hosts.display()))
            .arg("-i")
            .arg(self.work.join(self.key))
            .args(["-p", &self.port.to_string(), "someone@127.0.0.1"]);
        command
    }

    /// Comes in, with a terminal.
    fn come(&self) -> Result<Person> {
        let mut child = self
            .command()
            .arg("-tt")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("ssh")?;
        let mut from = child.stdout.take().context("no output")?;
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count) = from.read(&mut piece)
                && count > 0
            {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
        });
        let keyboard = child.stdin.take().context("no input")?;
        Ok(Person {
            child,
            keyboard,
            screen,
        })
    }

    /// What the client says that ends at once with these arguments.
    fn refused(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        let said = command.output().context("ssh")?;
        ensure!(!said.status.success(), "{arguments:?} went well");
        Ok(String::from_utf8_lossy(&said.stderr).into_owned())
    }
}

/// Somebody who has come in.
struct Person {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Person {
    fn types(&mut self, text: &str) -> Result<()> {
        self.keyboard.write_all(text.as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    fn screen(&self) -> String {
        let shown = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }

    fn sees(&mut self, what: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.screen().contains(what) {
            let is_here = self.child.try_wait()?.is_none() && Instant::now() < until;
            ensure!(is_here, "no {what:?} in {:?}", self.screen());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Leaves the shell, and is let go.
    fn leaves(mut self) -> Result<()> {
        self.types("\x04")?;
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < until, "not let go: {:?}", self.screen());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client<'a>(peer: &Peer<'a>, key: &'a str) -> Result<Client<'a>> {
    Ok(Client {
        work: peer.work,
        port: forwarded(peer, 22)?,
        key,
    })
}

/// Two people at once, each with a shell of their own; after them two others, in shells that nobody was in.
fn come(peer: &mut Peer<'_>) -> Result<()> {
    let lines = peer.session.serial().lines();
    let stated = lines.iter().find_map(|line| {
        let (_, rest) = line.strip_prefix("@ssh.identity")?.split_once("host~\"")?;
        Some(rest.split('"').next()?.to_owned())
    });
    let stated = stated.context("no host key was stated")?;
    let known = client(peer, "known")?;
    let hosts = format!("[127.0.0.1]:{} {stated}\n", known.port);
    std::fs::write(peer.work.join("known_hosts"), hosts)?;
    write_key(&peer.work.join("known"), &KNOWN)?;
    write_key(&peer.work.join("stranger"), &STRANGER)?;
    let mut first = known.come()?;
    first.sees("capos> ").context("the first person")?;
    let mut second = known.come()?;
    second.sees("capos> ").context("the second person")?;
    first.types("echo of the first\r")?;
    second.types("ps\r")?;
    second.sees("ssh-server")?;
    first.sees("\nof the first")?;
    ensure!(!second.screen().contains("of the first"), "seen by another");
    // What the shells on the serial line and here hold is not the same.
    first.types("halt\r")?;
    first.sees("SystemControl")?;
    // More than any window and any queue hold.
    second.types("log\rlog\rlog\recho all of it\r")?;
    second.sees("\nall of it")?;
    // A command that does not end of itself ends with who asked for it.
    second.types("top\r")?;
    second.sees("\x1b[")?;
    drop(second);
    first.leaves()?;
    anew(peer, 2)?;
    // Shells that were ended while they waited serve nobody, and who only holds places keeps nobody out.
    peer.session.send(b"kill remote0\rkill remote1\r")?;
    anew(peer, 3)?;
    let idle = [(); 12].map(|()| TcpStream::connect(("127.0.0.1", known.port)));
    let known = client(peer, "known")?;
    let others = [known.come()?, known.come()?];
    for mut other in others {
        other.sees("capos> ").context("who came later")?;
        ensure!(!other.screen().contains("first"), "{:?}", other.screen());
        other.leaves()?;
    }
    drop(idle);
    anew(peer, 4)
}

/// Waits until both shells have started so often: nobody is in them, and nothing of who was.
fn anew(peer: &mut Peer<'_>, times: u32) -> Result<()> {
    let facts = [0, 1].map(|at| format!("@service.started name=remote{at} incarnation={times}"));
    let waited = peer.session.wait(peer.deadline, |serial| {
        let lines = serial.lines();
        let is_there = |fact: &String| lines.iter().any(|line| line.starts_with(fact));
        facts.iter().all(is_there)
    });
    ensure!(waited == Waited::Seen, "a shell was not started anew");
    Ok(())
}

/// Another key, no key, a command, a file transfer, a forwarded port: each is refused, and so is who speaks no SSH.
fn refused(peer: &mut Peer<'_>) -> Result<()> {
    let stranger = client(peer, "stranger")?;
    for arguments in [&["-T"][..], &["-o", "PubkeyAuthentication=no"]] {
        let said = stranger.refused(arguments)?;
        let is_denied = said.contains("Permission denied (publickey)");
        ensure!(is_denied, "let in with {arguments:?}: {said}");
    }
    let known = client(peer, "known")?;
    let said = known.refused(&["ps"])?;
    ensure!(said.contains("exec request failed"), "{said}");
    let said = known.refused(&["-s", "sftp"])?;
    ensure!(said.contains("subsystem request failed"), "{said}");
    known.refused(&["-W", "10.0.2.2:80"])?;
    // Of those that only held places some had gone before they came, so that nobody knows how often this is still to be done.
    for _ in 0..16 {
        no_ssh(known.port)?;
        let soon = peer.deadline.min(Instant::now() + Duration::from_secs(2));
        let waited = peer.session.wait(soon, |serial| {
            let mut lines = serial.lines().iter();
            lines.any(|line| line.starts_with("@ssh.refused times=16"))
        });
        if waited == Waited::Seen {
            return Ok(());
        }
    }
    bail!("what was refused was not counted")
}

/// Who speaks no SSH gets the server's first lines, and no more.
fn no_ssh(port: u16) -> Result<()> {
    let mut plain = TcpStream::connect(("127.0.0.1", port))?;
    plain.set_read_timeout(Some(PATIENCE))?;
    plain.write_all(&[b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0xff; 4000]].concat())?;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    // Its own first line (RFC 4253 section 4.2), and what it offers.
    ensure!(answer.starts_with(b"SSH-2.0-"), "{answer:?}");
    Ok(())
}

const CAME: &str = "@ssh.came";
const REFUSED: &str = "@ssh.refused times=16";

inventory::submit! {
    Smoke {
        name: "ssh-shell",
        question: "Does who has the key get a shell over SSH, with what the manifest grants to that shell, and nobody else anything?",
        rows: &["CG-29"],
        manifest: "smoke/ssh-shell",
        extra: &[
            "-netdev", "user,id=n0,ipv6=off,hostfwd=tcp:127.0.0.1:0-:22",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::All(&["@ssh.listening", "@net.dhcp lease=bound", "@net.ipv6 origin=link-local"]),
            Step::Peer(come),
            Step::Peer(refused),
            Step::Type("halt"),
        ],
        required: &["@ssh.identity keys=1 key=fleeting", "@ssh.listening port=22", CAME, REFUSED],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@service.ended name=ssh-server",
        ],
        sorted: true,
        needs: Some(Feature::Ssh),
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SSH_ALLOW_ANY_KEY,
        smoke: "ssh-shell",
        // A stranger gets a shell, and with no input leaves it again.
        breaks: Break::Step("let in with [\"-T\"]"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SSH_STATE_OTHER_KEY,
        smoke: "ssh-shell",
        breaks: Break::Step("the first person"),
    }
}

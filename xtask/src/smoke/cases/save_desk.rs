//! Save capsules on their way between two machines of a guest and their user's own provider, carried by the companion page in a browser.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ::sabotage::points;
use anyhow::{Context, Result, ensure};
use save_lab::companion::{Provider, Relay, Skin, TOKEN};
use save_lab::fakes::Misdeed;
use save_lab::servers::Kind;
use serde_json::json;

use crate::qemu::Feature;
use crate::session::Waited;
use crate::smoke::browser::Browser;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::forwarded;
use crate::smoke::sabotage::{Break, Sabotage};

const SOON: Duration = Duration::from_secs(60);
/// With this in the environment, Google's emulator takes the place of the second provider's model.
const REAL: &str = "CAPOS_FIRESTORE_EMULATOR";

/// A machine's desk, as the browser reaches it.
struct Desk {
    relay: Relay,
    port: u16,
    key: String,
}

impl Desk {
    /// The one whose address has that port, at a port of the guest.
    fn find(peer: &mut Peer<'_>, said: u16, port: u16) -> Result<Self> {
        let open = format!("desk: open http://127.0.0.1:{said}/#key=");
        let key = |line: &String| Some(line.split_once(&open)?.1.trim().to_owned());
        let waited = peer.session.wait(peer.deadline, |serial| {
            serial.lines().iter().find_map(key).is_some()
        });
        ensure!(waited == Waited::Seen, "the desk says no address");
        let key = peer.session.serial().lines().iter().find_map(key);
        let port = forwarded(peer, port)?;
        Ok(Self {
            relay: Relay::start(port)?,
            port,
            key: key.context("no key")?,
        })
    }

    /// Has the page do that, and sees it show these lines.
    fn visit(
        &self,
        browser: &mut Browser,
        at: &Provider,
        what: &str,
        shown: &[&str],
    ) -> Result<()> {
        let (port, key, told) = (self.relay.port, &self.key, at.told());
        // An address that differs in what stands behind the `#` alone is not loaded anew.
        browser.open("about:blank")?;
        browser.open(&format!(
            "http://127.0.0.1:{port}/#{told}&key={key}&do={what}"
        ))?;
        let lines =
            "JSON.stringify([...document.querySelectorAll('#log li')].map(li => li.textContent))";
        let wanted = json!(json!(shown).to_string());
        browser.wait(&format!("{lines} === {wanted}"), Instant::now() + SOON)?;
        ensure!(
            browser.evaluate("location.hash")? == json!(""),
            "the key stays in the address"
        );
        Ok(())
    }

    /// A request that must be turned away. How many were, the guest says; an answer is all that is waited for.
    fn forged(&self, line: &str, fields: &str) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "{line} HTTP/1.1\r\n{fields}\r\n")?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

fn wait(peer: &mut Peer<'_>, fact: &str) -> Result<()> {
    let waited = peer.session.wait(peer.deadline, |serial| {
        serial.lines().iter().any(|line| line.contains(fact))
    });
    ensure!(waited == Waited::Seen, "{fact} is not said");
    Ok(())
}

/// Whoever has not the key, or has it on another site or for another host.
fn forge(desk: &Desk) -> Result<()> {
    let own = "Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\nContent-Length: 0\r\n";
    let key = format!("X-CSRF-Token: {}\r\n", desk.key);
    let wrong = format!("X-CSRF-Token: {}\r\n", "0".repeat(64));
    let cut = format!("X-CSRF-Token: {}\r\n", &desk.key[1..]);
    desk.forged("GET /v1/sealed", "Host: 127.0.0.1:1\r\n")?;
    desk.forged("GET /v1/sealed", &format!("Host: 127.0.0.1:1\r\n{wrong}"))?;
    desk.forged("POST /v1/sent", &format!("{own}{cut}"))?;
    desk.forged("POST /v1/offered", own)?;
    let elsewhere = own.replace("http://127", "https://127");
    desk.forged("POST /v1/offered", &format!("{elsewhere}{key}"))?;
    desk.forged("GET /v1/sealed", &format!("Host: capos.example\r\n{key}"))
}

/// What a provider does, and who is signed in where it is another: refused on the page, and nothing has changed.
fn trouble(browser: &mut Browser, another: &Desk, drive: &Provider) -> Result<()> {
    let kept = drive.cloud(|cloud| cloud.clone());
    let stale = "capOS refuses: stale, 2 was seen";
    for (misdeed, shown) in [
        (Misdeed::Offline, "NoNetwork"),
        (Misdeed::Delete, stale),
        (Misdeed::Stale, stale),
        (Misdeed::RollBack, stale),
        (Misdeed::Rename, "NotOpaque"),
        (Misdeed::Alter, "capOS refuses: tampered"),
        (Misdeed::Cut, "capOS refuses: malformed"),
    ] {
        drive.cloud(|cloud| {
            *cloud = kept.clone();
            cloud.misbehave(Some(misdeed));
        });
        another.visit(browser, drive, "restore", &[shown, "ready"])?;
    }
    drive.cloud(|cloud| *cloud = save_lab::fakes::Cloud::default());
    let missing = "capOS refuses: missing, 2 was seen";
    another.visit(browser, drive, "restore", &[missing, "ready"])?;
    drive.session(|session| session.scope = "https://www.googleapis.com/auth/drive".into());
    another.visit(browser, drive, "restore", &["OtherScope"])?;
    drive.session(|session| {
        session.scope = save_lab::fakes::DRIVE_SCOPE.into();
        session.token = "of-bob".into();
    });
    another.visit(browser, drive, "restore", &["OtherUser", "ready"])?;
    drive.session(|session| session.token = TOKEN.into());
    drive.cloud(|cloud| {
        *cloud = kept;
        cloud.misbehave(Some(Misdeed::Duplicate));
    });
    Ok(())
}

/// Firestore: its emulator where that is asked for, else the model.
fn firestore(peer: &Peer<'_>) -> Result<Provider> {
    if std::env::var_os(REAL).is_none() {
        return Provider::model(Skin::Firebase);
    }
    let program = Kind::Firestore.program(peer.work);
    Provider::emulator(&program.context("Firestore's emulator is not installed")?)
}

fn carried(peer: &mut Peer<'_>) -> Result<()> {
    let home = Desk::find(peer, 8081, 81)?;
    let another = Desk::find(peer, 8082, 82)?;
    wait(peer, "@probe.put save=1")?;
    forge(&home)?;
    let drive = Provider::model(Skin::Drive)?;
    let mut browser = Browser::start(peer.work)?;
    for save in 1..=2 {
        home.visit(&mut browser, &drive, "send", &["sent 1", "ready"])?;
        let restored = format!("restored save {save}");
        another.visit(&mut browser, &drive, "restore", &[&restored, "ready"])?;
        wait(peer, &format!("@probe.put save={}", save + 1))?;
    }
    trouble(&mut browser, &another, &drive)?;
    home.visit(&mut browser, &drive, "send", &["sent 1", "ready"])?;
    home.visit(&mut browser, &drive, "send", &["sent 0", "ready"])?;
    another.visit(
        &mut browser,
        &drive,
        "restore",
        &["restored save 3", "ready"],
    )?;
    wait(peer, "@probe.put save=4")?;
    let firestore = firestore(peer)?;
    below_rules(peer, &mut browser, [&home, &another], &firestore)?;
    crossed(&[&home, &another], &[&drive, &firestore])
}

/// Saves 4 and 5: another user's name and token are refused, and what is deleted is missed.
fn below_rules(
    peer: &mut Peer<'_>,
    browser: &mut Browser,
    [home, another]: [&Desk; 2],
    firestore: &Provider,
) -> Result<()> {
    home.visit(browser, firestore, "send", &["sent 1", "ready"])?;
    firestore.session(|session| session.uid = "../ann".into());
    another.visit(browser, firestore, "restore", &["OtherUser"])?;
    firestore.session(|session| session.uid = "bob".into());
    another.visit(browser, firestore, "restore", &["OtherUser", "ready"])?;
    firestore.session(|session| session.uid = "ann".into());
    another.visit(browser, firestore, "restore", &["restored save 4", "ready"])?;
    wait(peer, "@probe.put save=5")?;
    firestore.delete_newest()?;
    let missing = "capOS refuses: missing, 4 was seen";
    another.visit(browser, firestore, "restore", &[missing, "ready"])?;
    firestore.cloud(|cloud| cloud.misbehave(None));
    home.visit(browser, firestore, "send", &["sent 1", "ready"])?;
    another.visit(browser, firestore, "restore", &["restored save 5", "ready"])?;
    Ok(())
}

/// No provider's token comes to capOS, no key and no plain text leaves it, and the desk's key goes to no provider.
fn crossed(desks: &[&Desk], providers: &[&Provider]) -> Result<()> {
    let has = |all: &[u8], part: &str| {
        all.windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    let asked: Vec<Vec<u8>> = providers.iter().map(|provider| provider.asked()).collect();
    for desk in desks {
        let crossed = desk.relay.crossed();
        ensure!(has(&crossed, &desk.key), "nothing was written down");
        for secret in [TOKEN, "of-bob", "only capOS reads", "^^^^^^^^"] {
            ensure!(!has(&crossed, secret), "{secret} crosses at the desk");
        }
        for asked in &asked {
            ensure!(!has(asked, &desk.key), "the desk's key goes to a provider");
            ensure!(
                !has(asked, "only capOS reads"),
                "plain text goes to a provider"
            );
        }
    }
    let signed_in = asked.iter().any(|asked| has(asked, TOKEN));
    ensure!(signed_in, "nobody was asked");
    Ok(())
}

const TURNED_AWAY: &str = "@desk.sent turned_away=6";

inventory::submit! {
    Smoke {
        name: "save-desk",
        question: "Does the user's browser carry saves between two machines and the user's own provider, whatever that does, with no key, token or plain text where it must not be?",
        rows: &["BS-02", "BS-03", "BS-04", "BS-05", "BS-07", "BS-10"],
        manifest: "smoke/save-desk",
        extra: &[
            "-netdev",
            "user,id=n0,hostfwd=tcp:127.0.0.1:0-:81,hostfwd=tcp:127.0.0.1:0-:82",
            "-device",
            "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-monitor",
            "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::All(&["@net.dhcp lease=bound", "@net.ipv6 origin=advertised"]),
            Step::Peer(carried),
            Step::Wait("@probe.done"),
        ],
        required: &[
            TURNED_AWAY,
            "@probe.arrived save=1 version=1",
            "@probe.arrived save=2 version=2",
            "@probe.arrived save=3 version=3",
            "@probe.arrived save=4 version=4",
            "@probe.arrived save=5 version=5",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@service.ended name=desk",
        ],
        sorted: true,
        needs: Some(Feature::Browser),
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DESK_ANY_KEY,
        smoke: "save-desk",
        breaks: Break::Missing(TURNED_AWAY),
    }
}

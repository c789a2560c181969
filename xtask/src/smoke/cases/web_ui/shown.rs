//! The page in a browser, as a person would look at it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{EXTRA, FORBIDDEN, PORT, ticket};
use crate::qemu::Feature;
use crate::session::Waited;
use crate::smoke::browser::Browser;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::forwarded;
use crate::smoke::cases::virtio_blk::DISK;

/// How long the page may take for what comes with the next state.
const SOON: Duration = Duration::from_secs(60);

/// Signs in by the address that the system says, with this machine's port in it.
fn open(peer: &mut Peer<'_>, browser: &mut Browser) -> Result<String> {
    let ticket = ticket(peer, None)?;
    browser.open(&format!(
        "http://127.0.0.1:{}/#{ticket}",
        forwarded(peer, PORT)?
    ))?;
    browser.wait(
        "document.querySelectorAll('#map .node').length > 0",
        Instant::now() + SOON,
    )?;
    Ok(ticket)
}

/// Everything with the keyboard and the eyes alone.
fn look(peer: &mut Peer<'_>) -> Result<()> {
    let mut browser = Browser::start(peer.work)?;
    let soon = || Instant::now() + SOON;
    browser.look(1200, 800, "light")?;
    let ticket = open(peer, &mut browser)?;
    ensure!(
        browser.evaluate("location.hash")? == json!(""),
        "the ticket stays in the address"
    );
    // Eight processes and two devices: as many nodes.
    browser.wait(
        "document.querySelectorAll('#map .node.process').length === 8",
        soon(),
    )?;
    browser.wait(
        "document.querySelectorAll('#map .node.device').length >= 2",
        soon(),
    )?;
    browser.picture(&peer.work.join("../light.png"))?;
    by_keyboard(&mut browser)?;
    reach(&mut browser)?;
    appearance(peer, &mut browser)?;
    ended(peer, &mut browser)?;
    lost(peer, &mut browser)?;
    forged(&mut browser, &ticket)?;
    ensure!(
        browser.complaints.iter().all(|text| expected(text)),
        "the browser complains: {:?}",
        browser.complaints
    );
    Ok(())
}

/// What the browser says of requests that are to fail.
fn expected(text: &str) -> bool {
    ["401", "403", "net::ERR", "Content Security Policy"]
        .iter()
        .any(|part| text.contains(part))
}

/// Tabs, the graph and its details without a mouse.
fn by_keyboard(browser: &mut Browser) -> Result<()> {
    let soon = || Instant::now() + SOON;
    browser.evaluate("document.getElementById('tab-graph').focus()")?;
    browser.press("ArrowRight")?;
    browser.wait("!document.getElementById('processes').hidden && document.activeElement.id === 'tab-processes'", soon())?;
    browser.wait(
        "document.querySelectorAll('#processes tbody tr').length === 8",
        soon(),
    )?;
    for (tab, seen) in [
        ("devices", "virtio-blk"),
        ("storage", "BlockDevice"),
        ("log", "@web.listening"),
        ("network", "10.0.2.15/24"),
    ] {
        browser.press("ArrowRight")?;
        browser.wait(&format!("!document.getElementById('{tab}').hidden && document.getElementById('{tab}').innerText.includes('{seen}')"), soon())?;
    }
    browser.press("Home")?;
    browser.wait("!document.getElementById('graph').hidden", soon())?;
    let disk = "[...document.querySelectorAll('#map .node')].find(n => n.getAttribute('aria-label') === 'process disk')";
    browser.evaluate(&format!("{disk}.focus()"))?;
    browser.press("Enter")?;
    browser.wait("document.getElementById('details').innerText.includes('What would end with it') && document.getElementById('losses').innerText.includes('the device is stopped')", soon())?;
    // The state that comes next takes neither the focus nor the choice away.
    let reads = browser.evaluate("state.reads")?;
    browser.wait(&format!("state.reads > {reads}"), soon())?;
    browser.wait("document.activeElement.getAttribute('aria-label') === 'process disk' && document.activeElement.getAttribute('aria-pressed') === 'true'", soon())
}

/// Who can reach the disk.
fn reach(browser: &mut Browser) -> Result<()> {
    browser.evaluate("(() => { const s = document.getElementById('reach'); s.value = [...s.options].find(o => o.textContent.startsWith('virtio-blk')).value; s.dispatchEvent(new Event('change')); })()")?;
    let lit = "[...document.querySelectorAll('#map .node.lit')].map(n => n.getAttribute('aria-label')).sort().join()";
    browser.wait(
        &format!(
            "{lit} === 'device virtio-blk,process disk,process init,process victim,process volume'"
        ),
        Instant::now() + SOON,
    )
}

/// A narrow window in the dark: nothing is wider than it, and the colours are others.
fn appearance(peer: &Peer<'_>, browser: &mut Browser) -> Result<()> {
    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = browser.evaluate(paper)?;
    browser.look(340, 700, "dark")?;
    let dark = browser.evaluate(paper)?;
    ensure!(light != dark, "light and dark are both {light}");
    browser.wait(
        "document.documentElement.scrollWidth <= innerWidth",
        Instant::now() + SOON,
    )?;
    browser.picture(&peer.work.join("../dark-narrow.png"))?;
    browser.look(1200, 800, "light")
}

/// A process that ends is gone from the page.
fn ended(peer: &mut Peer<'_>, browser: &mut Browser) -> Result<()> {
    let there = "[...document.querySelectorAll('#map .node')].some(n => n.getAttribute('aria-label') === 'process victim')";
    ensure!(
        browser.evaluate(there)? == json!(true),
        "there is no victim"
    );
    let waited = peer.session.answer_prompt("kill victim", peer.deadline)?;
    ensure!(waited == Waited::Seen, "no prompt for kill");
    browser.wait(&format!("!{there}"), Instant::now() + SOON)
}

/// Without the network the page says so, and with it again it goes on.
fn lost(peer: &mut Peer<'_>, browser: &mut Browser) -> Result<()> {
    peer.monitor("set_link n0 off")?;
    browser.wait("!document.getElementById('lost').hidden && document.getElementById('link').textContent === 'connection lost'", Instant::now() + SOON)?;
    browser.picture(&peer.work.join("../lost.png"))?;
    peer.monitor("set_link n0 on")?;
    browser.wait("document.getElementById('lost').hidden && document.getElementById('link').textContent === 'live'", Instant::now() + SOON)
}

/// What another page, or a script without the token, is refused; then the session is ended, and neither it nor its ticket opens again.
fn forged(browser: &mut Browser, ticket: &str) -> Result<()> {
    let status = |browser: &mut Browser, what: &str| {
        browser.evaluate(&format!("fetch({what}).then(r => r.status)"))
    };
    ensure!(
        status(browser, "'/session/end', {method: 'POST', body: ''}")? == json!(403),
        "a session ended without its token"
    );
    ensure!(
        browser.evaluate("document.cookie")? == json!(""),
        "a script sees the cookie"
    );
    ensure!(
        browser.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")?
            == json!("refused"),
        "the page may ask others"
    );
    browser.evaluate("document.getElementById('leave').click()")?;
    browser.wait(
        "!document.getElementById('enter').hidden && document.getElementById('shown').hidden",
        Instant::now() + SOON,
    )?;
    ensure!(
        status(browser, "'/state'")? == json!(401),
        "a session that was ended goes on"
    );
    let again = format!("'/session', {{method: 'POST', body: '{ticket}'}}");
    ensure!(
        status(browser, &again)? == json!(401),
        "a ticket opens twice"
    );
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "web-ui-browser",
        question: "Does a person see the system in a browser, with the keyboard alone, in a narrow window, in the dark, and learn that the connection is lost?",
        rows: &["UI-01"],
        manifest: "smoke/web-ui",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        extra: EXTRA,
        steps: &[
            Step::All(&["@web.listening", "@net.dhcp lease=bound", "@net.ipv6 origin=advertised"]),
            Step::Peer(look),
            Step::Type("halt"),
        ],
        required: &[
            "@web.session began=true",
            "@process.ended name=victim kind=killed",
            "@web.ended misdirected=0 origin=0 token=1",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        limit_s: 300,
        needs: Some(Feature::Browser),
        ..Smoke::DEFAULT
    }
}

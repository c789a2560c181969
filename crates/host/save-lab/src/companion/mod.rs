//! The companion's page in a real browser, between a desk that stands in for capOS and models of two providers.
//!
//! Owns the three ends of the page, each an origin of its own, and the record of all that crossed between them. Invariant: a
//! case never believes what the page shows alone: what the desk holds and what crossed is looked at, too.
//!
//! The providers are models of ours over [`crate::fakes::Cloud`]: the part of Drive v3 and of Firestore's REST interface that
//! the page uses. The emulator of Firestore takes the model's place where it is installed.

mod beside;
mod cases;
mod desk;
mod emulator;
mod ends;
mod models;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};

pub use beside::{Provider, Relay};
pub use cases::{cases, run};
use desk::{Desk, KEY};
pub use emulator::check as at_the_emulator;
use ends::{End, Seen};

use crate::fakes::Cloud;

/// Where Debian and others put it.
const BROWSERS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];
/// Time of the page's own, which stands still while it waits for an answer.
const BUDGET_MS: u32 = 10_000;
/// What the user is signed in with at the provider.
pub const TOKEN: &str = "provider-token-of-ann-3f9c";

/// Which provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skin {
    /// The model of Drive.
    Drive,
    /// The model of Firestore.
    Firebase,
}

/// The browser, if there is one.
#[must_use]
pub fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut files = BROWSERS
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)));
    files.find(|file| file.is_file())
}

/// Who is signed in, as the page is told.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The provider's name of the user.
    pub uid: String,
    /// What the user agreed to.
    pub scope: String,
    /// What the provider knows the user by.
    pub token: String,
}

/// What the ends share.
pub(crate) struct World {
    pub cloud: Mutex<Cloud>,
    pub desk: Mutex<Desk>,
    pub session: Mutex<SignedIn>,
    pub seen: Mutex<Vec<Seen>>,
    /// The page's files, as they are served.
    pub page: Vec<(&'static str, Vec<u8>)>,
}

/// A lock that a panic left is as good as before: what it guards is looked at, and the case has failed.
pub(crate) fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The page with its ends.
pub struct Rig {
    skin: Skin,
    browser: PathBuf,
    pub(crate) world: Arc<World>,
    page: End,
    desk: End,
    provider: End,
    /// Where capsules are kept: with the model, or elsewhere.
    base: String,
}

/// The page's folder.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tools/companion")
}

impl Rig {
    /// A rig of that skin. `change` is what is replaced in the page's script, to see that it is missed.
    ///
    /// # Errors
    /// Where the page is not there, or `change` does not fit it.
    pub fn new(skin: Skin, browser: &Path, change: Option<(&str, &str)>) -> Result<Self> {
        Self::at(skin, browser, change, None)
    }

    /// The same, with a provider elsewhere in place of the model.
    pub(crate) fn at(
        skin: Skin,
        browser: &Path,
        change: Option<(&str, &str)>,
        elsewhere: Option<&str>,
    ) -> Result<Self> {
        let read = |name| {
            let path = folder().join(name);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let (index, mut script) = (read("index.html")?, read("companion.js")?);
        if let Some((from, to)) = change {
            ensure!(script.contains(from), "the script has no {from:?}");
            script = script.replacen(from, to, 1);
        }
        let world = Arc::new(World {
            cloud: Mutex::default(),
            desk: Mutex::new(Desk::new()),
            session: Mutex::new(SignedIn {
                uid: "ann".into(),
                scope: crate::fakes::DRIVE_SCOPE.into(),
                token: TOKEN.into(),
            }),
            seen: Mutex::default(),
            page: vec![
                ("/index.html", index.into_bytes()),
                ("/companion.js", script.into_bytes()),
            ],
        });
        let page = End::start(&world, ends::page, "page", "")?;
        let origin = page.url();
        let desk = End::start(&world, desk::answer, "desk", &origin)?;
        let model = match skin {
            Skin::Drive => models::drive,
            Skin::Firebase => models::firebase,
        };
        let provider = End::start(&world, model, "provider", &origin)?;
        let base = elsewhere.map_or_else(|| provider.url(), str::to_owned);
        Ok(Self {
            skin,
            browser: browser.to_owned(),
            world,
            page,
            desk,
            provider,
            base,
        })
    }

    /// Opens the page and has it do that; gives what it showed, line by line.
    ///
    /// # Errors
    /// Where the browser does not start or shows no page.
    pub fn visit(&self, what: &str) -> Result<Vec<String>> {
        let profile = tempfile::tempdir()?;
        let provider = match self.skin {
            Skin::Drive => "drive",
            Skin::Firebase => "firebase",
        };
        let address = format!(
            "{}/index.html#signin={}/signin&provider={provider}&base={}&project=capos-test&desk={}&key={KEY}&do={what}",
            self.page.url(),
            self.provider.url(),
            self.base,
            self.desk.url()
        );
        let output = Command::new(&self.browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--virtual-time-budget={BUDGET_MS}"))
            .arg(&address)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .context("the browser does not start")?;
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = dom.split_once("<ol id=\"log\">");
        let log = log.and_then(|(_, rest)| rest.split_once("</ol>"));
        let Some((log, _)) = log else {
            bail!("the browser shows no page: {dom:?}");
        };
        let lines = log.split("<li>").skip(1);
        let text = |line: &str| line.trim_end_matches("</li>").to_owned();
        Ok(lines.map(text).collect())
    }

    /// Everything that crossed, so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        open(&self.world.seen).clone()
    }
}

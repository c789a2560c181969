//! The page, and the rules, at Google's emulator of Firestore.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use save_bridge::client::Http;
use save_capsule::MAX_CAPSULE;
use serde_json::{Value, json};

use super::cases::{refused, saves, shown, two};
use super::{Rig, Skin, folder, open};
use crate::servers::{Kind, Server};

const PROJECT: &str = "/v1/projects/capos-test/databases/(default)/documents/";
const PATIENCE: Duration = Duration::from_secs(20);
const HANDLE: &str = "0123456789abcdef0123456789abcdef";

/// Asks the emulator.
pub(super) struct Emulator {
    http: Http,
    pub(super) url: String,
    /// It ends with this.
    _server: Server,
}

impl Emulator {
    /// Starts it with the rules.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let server = Server::start(Kind::Firestore, program)?;
        let emulator = Self {
            http: Http::new(PATIENCE),
            url: server.url(),
            _server: server,
        };
        let path = folder().join("firestore.rules");
        let content = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let rules =
            json!({ "rules": { "files": [{ "name": "firestore.rules", "content": content }] } });
        let (status, said) = emulator.ask(
            "PUT",
            "/emulator/v1/projects/capos-test:securityRules",
            None,
            Some(&rules),
        )?;
        let said = String::from_utf8_lossy(&said);
        ensure!(status == 200, "the rules are not taken: {said}");
        Ok(emulator)
    }

    /// The names of what is kept of the user's, the oldest first.
    fn kept(&self) -> Result<Vec<String>> {
        let list = self.as_owner("GET", &format!("{PROJECT}users/ann/saves?pageSize=100"))?;
        let mut documents: Vec<&Value> =
            list["documents"].as_array().into_iter().flatten().collect();
        documents.sort_by_key(|document| document["createTime"].as_str());
        let names = documents
            .iter()
            .filter_map(|document| document["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Deletes the newest that is kept.
    pub(super) fn delete_newest(&self) -> Result<()> {
        let kept = self.kept()?;
        let newest = kept.last().context("nothing is kept")?;
        self.as_owner("DELETE", &format!("/v1/{newest}")).map(drop)
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>)> {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let body = body.map(|body| body.to_string().into_bytes());
        let url = format!("{}{path}", self.url);
        let answer = self.http.ask(method, &url, &headers, body.as_deref());
        let answer = answer.map_err(|fault| anyhow::anyhow!("{method} {path}: {fault:?}"))?;
        Ok((answer.status, answer.body))
    }

    /// Whoever owns the project is bound by no rules.
    fn as_owner(&self, method: &str, path: &str) -> Result<Value> {
        let (status, body) = self.ask(method, path, Some("owner"), None)?;
        ensure!(status == 200, "{method} {path}: {status}");
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A token as the emulator takes it: nobody has signed it.
pub(super) fn token(uid: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "none", "typ": "JWT" }));
    let claims = part(json!({
        "sub": uid, "user_id": uid, "aud": "capos-test", "iss": "https://securetoken.google.com/capos-test",
        "iat": 1, "auth_time": 1, "exp": 9_999_999_999_u64, "firebase": { "sign_in_provider": "custom" },
    }));
    format!("{head}.{claims}.")
}

/// Starts the emulator with the rules, and asks everything of the page and of them.
///
/// # Errors
/// What is not as it should be.
pub fn check(browser: &Path, program: &Path) -> Result<()> {
    let emulator = Emulator::start(program)?;
    rules_hold(&emulator)?;
    let rig = Rig::at(Skin::Firebase, browser, None, Some(&emulator.url))?;
    open(&rig.world.session).token = token("ann");
    page_works(&rig, &emulator)
}

fn rules_hold(emulator: &Emulator) -> Result<()> {
    let capsule =
        |bytes: usize| json!({ "capsule": { "bytesValue": STANDARD.encode(vec![7; bytes]) } });
    let (ann, bob) = (token("ann"), token("bob"));
    let place = format!("{PROJECT}users/ann/saves");
    let own = format!("{place}/{HANDLE}");
    let named = format!("{place}/save-of-ann");
    let mut owned = capsule(1);
    owned["owner"] = json!({ "stringValue": "ann" });
    let text = json!({ "capsule": { "stringValue": "x" } });
    for (path, token, fields, status) in [
        (&own, Some(&ann), capsule(MAX_CAPSULE), 200),
        (&own, Some(&ann), capsule(MAX_CAPSULE + 1), 403),
        (&own, Some(&bob), capsule(1), 403),
        (&own, None, capsule(1), 403),
        (&own, Some(&ann), owned, 403),
        (&own, Some(&ann), text, 403),
        (&named, Some(&ann), capsule(1), 403),
    ] {
        let body = json!({ "fields": fields });
        let said = emulator
            .ask("PATCH", path, token.map(String::as_str), Some(&body))?
            .0;
        ensure!(
            said == status,
            "the rules say {said}, not {status}, to {path}"
        );
    }
    for (method, path, token, status) in [
        ("GET", &place, Some(&ann), 200),
        ("GET", &place, Some(&bob), 403),
        ("GET", &own, None, 403),
        ("DELETE", &own, Some(&bob), 403),
        ("DELETE", &own, Some(&ann), 200),
    ] {
        let said = emulator
            .ask(method, path, token.map(String::as_str), None)?
            .0;
        ensure!(
            said == status,
            "the rules say {said}, not {status}, to {method} {path}"
        );
    }
    Ok(())
}

fn page_works(rig: &Rig, emulator: &Emulator) -> Result<()> {
    two(rig)?;
    ensure!(
        saves(rig).payload.as_deref() == Some(b"the second save"),
        "another save is back"
    );
    let kept = emulator.kept()?.len();
    ensure!(kept == 2, "{kept} documents are kept");
    emulator.delete_newest()?;
    refused(rig, "capOS refuses: Refused(Stale { seen: 2, found: 1 })")?;
    // Another user's token does not reach them, and theirs does not reach another's.
    open(&rig.world.session).token = token("bob");
    refused(rig, "OtherUser")?;
    open(&rig.world.session).uid = "bob".into();
    let lines = rig.visit("restore")?;
    let missing = lines
        .first()
        .is_some_and(|line| line.starts_with("capOS refuses: Missing"));
    ensure!(missing, "{lines:?}");
    shown(rig, "send", &["sent 0", "ready"])
}

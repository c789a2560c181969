//! A browser without a window, told what to do over the DevTools protocol through two pipes.
//!
//! Invariant: it never waits without a deadline, it speaks to nobody but this machine, and it ends with its owner.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(150);
/// The protocol's pipes are descriptors 3 and 4; a shell puts them there.
const ENTER: &str = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"#;

/// A browser with one page.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    next: u64,
    /// Names the page in what is said to the browser.
    page: String,
    /// What could not be loaded or was refused by the page's own rules, as the browser said it.
    pub complaints: Vec<String>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts the browser with a profile of its own in `work`.
    pub fn start(work: &Path) -> Result<Self> {
        let program = save_lab::companion::browser().context("no browser here")?;
        let mut child = Command::new("sh")
            .args(["-c", ENTER, "sh"])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg("--remote-debugging-pipe")
            .arg(format!(
                "--user-data-dir={}",
                work.join("browser").display()
            ))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("sh")?;
        let input = child.stdin.take().context("no pipe")?;
        let output = child.stdout.take().context("no pipe")?;
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { break };
                let Ok(message) = serde_json::from_slice(&message) else {
                    continue;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            next: 1,
            page: String::new(),
            complaints: Vec::new(),
        };
        let made = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let target = json!({"targetId": made["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target)?;
        browser.page = attached["sessionId"]
            .as_str()
            .context("no session")?
            .to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}))?;
        }
        Ok(browser)
    }

    /// Has the browser, or its page, do `method`.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.next;
        self.next += 1;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.page.is_empty() {
            message["sessionId"] = json!(self.page);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.input
            .write_all(&bytes)
            .context("the browser is gone")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = self.messages.recv_timeout(left);
            let said = said.with_context(|| format!("the browser does not answer {method}"))?;
            if said["id"] == json!(id) {
                ensure!(said["error"].is_null(), "{method}: {}", said["error"]);
                return Ok(said["result"].clone());
            }
            self.note(&said);
        }
    }

    fn note(&mut self, said: &Value) {
        let text = match said["method"].as_str() {
            Some("Log.entryAdded") => &said["params"]["entry"]["text"],
            Some("Runtime.exceptionThrown") => {
                &said["params"]["exceptionDetails"]["exception"]["description"]
            }
            _ => return,
        };
        self.complaints
            .push(text.as_str().unwrap_or("something").to_owned());
    }

    /// Opens an address.
    pub fn open(&mut self, url: &str) -> Result<()> {
        let opened = self.call("Page.navigate", json!({"url": url}))?;
        ensure!(
            opened["errorText"].is_null(),
            "{url}: {}",
            opened["errorText"]
        );
        Ok(())
    }

    /// What an expression of the page is.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let said = self.call("Runtime.evaluate", params)?;
        ensure!(
            said["exceptionDetails"].is_null(),
            "{expression}: {}",
            said["exceptionDetails"]
        );
        Ok(said["result"]["value"].clone())
    }

    /// Waits until an expression of the page is true.
    pub fn wait(&mut self, expression: &str, deadline: Instant) -> Result<()> {
        loop {
            // While a page is being left there is nothing to ask.
            if self
                .evaluate(expression)
                .is_ok_and(|value| value == json!(true))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                let shown =
                    self.evaluate("document.body ? document.body.innerText.slice(0, 600) : ''");
                bail!(
                    "{expression} did not come true; the page shows {shown:?}, complaints {:?}",
                    self.complaints
                );
            }
            thread::sleep(LOOK);
        }
    }

    /// Presses a key, as the page's `key` names it.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "ArrowRight" => (39, ""),
            "ArrowLeft" => (37, ""),
            "End" => (35, ""),
            "Home" => (36, ""),
            _ => bail!("{key} is no key that is known here"),
        };
        let mut params =
            json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            params["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", params)?;
        let params =
            json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", params).map(drop)
    }

    /// Makes the window so many pixels wide and high, for light or dark.
    pub fn look(&mut self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features).map(drop)
    }

    /// Keeps a picture of the page, a PNG.
    pub fn picture(&mut self, path: &Path) -> Result<()> {
        let taken = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        let data = taken["data"].as_str().context("no picture")?;
        std::fs::write(path, BASE64_STANDARD.decode(data)?)?;
        Ok(())
    }
}

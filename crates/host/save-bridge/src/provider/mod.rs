//! The stores of providers.
//!
//! What they have in common: where a slot lies, and what a status says of a write.

pub mod firestore;
pub mod folder;
pub mod gcs;
pub mod s3;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use save_core::{Fault, Scope, Slot};

use crate::client::{Http, Response};

/// How long one question to a provider may take.
pub const BOUND: Duration = Duration::from_secs(10);
/// Where Google's machines say who they are.
const METADATA: &str =
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";

/// A slot's name at a provider: tenant, profile and slot, all plain segments.
fn object(scope: &Scope, slot: &Slot) -> String {
    format!("{scope}/{}", slot.text())
}

/// What a status of a write says. A write that met a server's error may have happened.
fn written(response: &Response) -> Result<(), Fault> {
    match response.status {
        200..300 => Ok(()),
        // 404: what the condition names is gone.
        404 | 409 | 412 => Err(Fault::Precondition),
        413 => Err(Fault::TooLarge { limit: 0 }),
        _ => Err(failed(response)),
    }
}

/// What any other status says.
fn failed(response: &Response) -> Fault {
    match response.status {
        429 | 503 => Fault::Busy {
            retry_after_ms: response.retry_after_ms(),
        },
        // Whoever runs the bridge must look at it: the credential or its rights.
        401 | 403 => Fault::Busy {
            retry_after_ms: 60_000,
        },
        // A condition that was never stated is no answer to a question.
        500..600 | 408 | 409 | 412 => Fault::Lost,
        _ => Fault::Damaged,
    }
}

/// What Google's services are asked with.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Nothing: an emulator.
    None,
    /// A token that does not change.
    Fixed(String),
    /// The token of the machine's service account, asked for anew before it ends.
    Metadata(Metadata),
}

/// The machine's own token.
#[derive(Clone)]
pub struct Metadata {
    url: String,
    kept: Arc<Mutex<Option<(String, Instant)>>>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metadata")
    }
}

impl Metadata {
    /// Asked for at that address, or where Google's machines have it.
    #[must_use]
    pub fn new(url: Option<&str>) -> Self {
        Self {
            url: url.unwrap_or(METADATA).to_owned(),
            kept: Arc::default(),
        }
    }

    fn token(&self, http: &Http) -> Result<String, Fault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, end)) = &*kept
            && *end > Instant::now()
        {
            return Ok(token.clone());
        }
        let busy = Fault::Busy {
            retry_after_ms: 1000,
        };
        let headers = [("metadata-flavor", "Google")];
        let response = http
            .ask("GET", &self.url, &headers, None)
            .map_err(|_| busy)?;
        let answer: serde_json::Value = serde_json::from_slice(&response.body).map_err(|_| busy)?;
        let token = answer["access_token"].as_str().ok_or(busy)?.to_owned();
        let seconds = answer["expires_in"]
            .as_u64()
            .unwrap_or(0)
            .saturating_sub(60);
        *kept = Some((token.clone(), Instant::now() + Duration::from_secs(seconds)));
        Ok(token)
    }
}

impl Auth {
    /// The value of the header, or nothing.
    fn header(&self, http: &Http) -> Result<Option<String>, Fault> {
        Ok(match self {
            Self::None => None,
            Self::Fixed(token) => Some(format!("Bearer {token}")),
            Self::Metadata(metadata) => Some(format!("Bearer {}", metadata.token(http)?)),
        })
    }
}

/// Asks a service of Google's.
fn ask(
    http: &Http,
    auth: &Auth,
    method: &str,
    url: &str,
    kind: &str,
    body: Option<&[u8]>,
) -> Result<Response, Fault> {
    let header = auth.header(http)?;
    let mut headers = Vec::new();
    if body.is_some() {
        headers.push(("content-type", kind));
    }
    headers.extend(header.as_deref().map(|value| ("authorization", value)));
    http.ask(method, url, &headers, body)
}

/// Percent-encodes all but what RFC 3986 leaves alone, and `keep`.
fn encoded(text: &str, keep: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte);
        match plain {
            true => out.push(byte.into()),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

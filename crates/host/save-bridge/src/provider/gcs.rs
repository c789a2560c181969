//! Google Cloud Storage: multipart uploads under a generation, whose sum both ends compare.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Scope, Slot, Token};
use serde_json::{Value, json};

use super::{Auth, BOUND, ask, encoded, failed, object, written};
use crate::client::Http;

/// What stands between the parts of an upload, and nowhere in what is uploaded.
fn mark(bytes: &[u8]) -> String {
    let marks = (0u32..).map(|number| format!("capos-save-{number}"));
    let is_inside = |mark: &String| {
        bytes
            .windows(mark.len())
            .any(|part| part == mark.as_bytes())
    };
    let mut free = marks.skip_while(is_inside);
    free.next().unwrap_or_default()
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Gcs {
    http: Http,
    auth: Auth,
    endpoint: String,
    bucket: String,
}

impl Gcs {
    /// The bucket at `https://storage.googleapis.com`, or at an emulator's address.
    #[must_use]
    pub fn new(endpoint: &str, bucket: &str, auth: Auth) -> Self {
        Self {
            http: Http::new(BOUND),
            auth,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            bucket: encoded(bucket, b""),
        }
    }

    /// Makes the bucket, for tests.
    ///
    /// # Errors
    /// The store's.
    pub fn create_bucket(&self) -> Result<(), Fault> {
        let url = format!("{}/storage/v1/b?project=test", self.endpoint);
        let body = json!({ "name": self.bucket }).to_string();
        let body = Some(body.as_bytes());
        written(&ask(
            &self.http,
            &self.auth,
            "POST",
            &url,
            "application/json",
            body,
        )?)
    }

    fn url(&self, scope: &Scope, slot: &Slot) -> String {
        let name = encoded(&object(scope, slot), b"");
        format!("{}/storage/v1/b/{}/o/{name}", self.endpoint, self.bucket)
    }
}

fn sum(bytes: &[u8]) -> String {
    STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

impl Backend for Gcs {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        let url = format!("{}?alt=media", self.url(scope, slot));
        let response = ask(&self.http, &self.auth, "GET", &url, "", None)?;
        match response.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(failed(&response)),
        }
        let generation = response.header("x-goog-generation").ok_or(Fault::Damaged)?;
        let sums = response
            .headers
            .iter()
            .filter(|(name, _)| name == "x-goog-hash");
        let mut sums = sums.flat_map(|(_, value)| value.split(','));
        let stated = sums.find_map(|part| part.trim().strip_prefix("crc32c="));
        if stated.is_some_and(|stated| stated != sum(&response.body)) {
            return Err(Fault::Damaged);
        }
        Ok(Some(Loaded {
            token: Token(generation.as_bytes().into()),
            bytes: response.body,
        }))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let generation = match only {
            Condition::Absent => "0".to_owned(),
            Condition::Is(token) => {
                String::from_utf8(token.0.to_vec()).map_err(|_| Fault::Damaged)?
            }
        };
        let (endpoint, bucket) = (&self.endpoint, &self.bucket);
        let url = format!(
            "{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=multipart&ifGenerationMatch={generation}"
        );
        let sum = sum(bytes);
        // With the sum in it the store refuses what was altered on the way.
        let about = json!({ "name": object(scope, slot), "crc32c": sum, "contentType": "application/octet-stream" });
        let mark = mark(bytes);
        let mut body = format!(
            "--{mark}\r\nContent-Type: application/json\r\n\r\n{about}\r\n\
             --{mark}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend(bytes);
        body.extend(format!("\r\n--{mark}--\r\n").into_bytes());
        let kind = format!("multipart/related; boundary={mark}");
        let response = ask(&self.http, &self.auth, "POST", &url, &kind, Some(&body))?;
        written(&response)?;
        // An answer that cannot be read is no answer.
        let answer: Value = serde_json::from_slice(&response.body).map_err(|_| Fault::Lost)?;
        match answer["crc32c"].as_str() {
            Some(stored) if stored == sum => Ok(()),
            Some(_) => Err(Fault::Damaged),
            None => Err(Fault::Lost),
        }
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        let url = self.url(scope, slot);
        match ask(&self.http, &self.auth, "DELETE", &url, "", None)? {
            response if matches!(response.status, 200..300 | 404) => Ok(()),
            response => Err(failed(&response)),
        }
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let folder = format!("{scope}/");
        let prefix = encoded(&format!("{folder}{}", group.prefix()), b"");
        let (endpoint, bucket) = (&self.endpoint, &self.bucket);
        // The offset is included, and is taken out below.
        let start =
            after.map(|after| format!("&startOffset={}", encoded(&object(scope, after), b"")));
        let start = start.unwrap_or_default();
        let asked = (most + 1).min(1000);
        let url =
            format!("{endpoint}/storage/v1/b/{bucket}/o?maxResults={asked}&prefix={prefix}{start}");
        let response = ask(&self.http, &self.auth, "GET", &url, "", None)?;
        if response.status != 200 {
            return Err(failed(&response));
        }
        let answer: Value = serde_json::from_slice(&response.body).map_err(|_| Fault::Lost)?;
        let line = |item: &Value| -> Option<Listed> {
            let slot = Slot::listed(item["name"].as_str()?.strip_prefix(folder.as_str())?)?;
            let bytes = item["size"].as_str()?.parse().ok()?;
            Some(Listed { slot, bytes })
        };
        let none = Vec::new();
        let items = answer["items"].as_array().unwrap_or(&none);
        let lines = items.iter().map(line).collect::<Option<Vec<Listed>>>();
        let mut lines = lines.ok_or(Fault::Damaged)?;
        lines.retain(|line| after.is_none_or(|after| line.slot > *after));
        lines.truncate(most);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn what_parts_the_parts_is_in_none() {
        assert_eq!(mark(b"x"), "capos-save-0");
        assert_eq!(mark(b"--capos-save-0--capos-save-1"), "capos-save-2");
    }
}

//! Amazon S3 and what speaks its language: conditional writes, signed with Signature Version 4.

use std::time::SystemTime;

use calendar::Date;
use hmac::{Hmac, KeyInit, Mac};
use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Scope, Slot, Token};
use sha2::{Digest, Sha256};

use super::{BOUND, encoded, failed, object, written};
use crate::client::{Http, Response};

/// A bucket and who asks. The secret signs here and goes nowhere.
#[derive(Clone)]
pub struct S3 {
    http: Http,
    endpoint: String,
    bucket: String,
    region: String,
    key_id: String,
    secret: String,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3({}/{})", self.endpoint, self.bucket)
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// Which region is signed for.
    pub region: &'a str,
    /// The name of the secret.
    pub key_id: &'a str,
    /// The secret.
    pub secret: &'a str,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `YYYYMMDDTHHMMSSZ`, from seconds since 1970.
fn stamp(seconds: u64) -> String {
    let Date {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Date::of(seconds.cast_signed());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// One question, to be signed.
struct Question<'a> {
    method: &'a str,
    /// Encoded.
    path: String,
    /// Encoded, in the order of names.
    query: String,
    headers: Vec<(&'a str, String)>,
    body: &'a [u8],
}

impl S3 {
    /// The bucket at an address such as `https://s3.eu-central-1.amazonaws.com`.
    #[must_use]
    pub fn new(endpoint: &str, bucket: &str, account: &Account<'_>) -> Self {
        Self {
            http: Http::new(BOUND),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            bucket: bucket.to_owned(),
            region: account.region.to_owned(),
            key_id: account.key_id.to_owned(),
            secret: account.secret.to_owned(),
        }
    }

    /// Makes the bucket, for tests.
    ///
    /// # Errors
    /// The store's.
    pub fn create_bucket(&self) -> Result<(), Fault> {
        let question = self.question("PUT", String::new());
        written(&self.ask(question)?)
    }

    fn question<'a>(&self, method: &'a str, object: String) -> Question<'a> {
        let slash = if object.is_empty() { "" } else { "/" };
        Question {
            method,
            path: format!(
                "/{}{slash}{}",
                encoded(&self.bucket, b""),
                encoded(&object, b"/")
            ),
            query: String::new(),
            headers: Vec::new(),
            body: &[],
        }
    }

    /// Signs a question (AWS Signature Version 4) and asks it.
    fn ask(&self, mut question: Question<'_>) -> Result<Response, Fault> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let stamp = stamp(now.map_or(0, |now| now.as_secs()));
        let body_sum = hex(&Sha256::digest(question.body));
        let (_, host) = self.endpoint.split_once("://").ok_or(Fault::Damaged)?;
        question.headers.push(("host", host.to_owned()));
        question
            .headers
            .push(("x-amz-content-sha256", body_sum.clone()));
        question.headers.push(("x-amz-date", stamp.clone()));
        question.headers.sort();
        let names: Vec<&str> = question.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = question
            .headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"));
        let canonical = format!(
            "{}\n{}\n{}\n{}\n{names}\n{body_sum}",
            question.method,
            question.path,
            question.query,
            lines.collect::<String>()
        );
        let day = &stamp[..8];
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let sum = hex(&Sha256::digest(&canonical));
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sum}");
        let start = format!("AWS4{}", self.secret);
        let key = [day, &self.region, "s3", "aws4_request"];
        let key = key
            .iter()
            .fold(start.into_bytes(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &text));
        let credential = &self.key_id;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={credential}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        let mark = if question.query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{mark}{}", self.endpoint, question.path, question.query);
        let sent = question.headers.iter().filter(|(name, _)| *name != "host");
        let mut headers: Vec<(&str, &str)> =
            sent.map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("authorization", &authorization));
        let body = (question.method == "PUT").then_some(question.body);
        self.http.ask(question.method, &url, &headers, body)
    }
}

/// The texts between `<NAME>` and `</NAME>`. Names of slots need no quoting in XML, so nothing is unquoted.
fn tags<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = text.split(open.as_str()).skip(1);
    parts
        .filter_map(|part| part.split_once(close.as_str()))
        .map(|(inside, _)| inside)
        .collect()
}

impl Backend for S3 {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        let question = self.question("GET", object(scope, slot));
        let response = self.ask(question)?;
        match response.status {
            200 => {
                let tag = response.header("etag").ok_or(Fault::Damaged)?;
                Ok(Some(Loaded {
                    token: Token(tag.as_bytes().into()),
                    bytes: response.body,
                }))
            }
            404 => Ok(None),
            _ => Err(failed(&response)),
        }
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let mut question = self.question("PUT", object(scope, slot));
        question.body = bytes;
        question.headers.push(match only {
            Condition::Absent => ("if-none-match", "*".to_owned()),
            Condition::Is(token) => {
                let tag = String::from_utf8(token.0.to_vec()).map_err(|_| Fault::Damaged)?;
                ("if-match", tag)
            }
        });
        written(&self.ask(question)?)
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        let question = self.question("DELETE", object(scope, slot));
        match self.ask(question)? {
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
        let mut question = self.question("GET", String::new());
        let folder = format!("{scope}/");
        let prefix = encoded(&format!("{folder}{}", group.prefix()), b"");
        let start =
            after.map(|after| format!("&start-after={}", encoded(&object(scope, after), b"")));
        let start = start.unwrap_or_default();
        let most = most.min(1000);
        question.query = format!("list-type=2&max-keys={most}&prefix={prefix}{start}");
        let response = self.ask(question)?;
        if response.status != 200 {
            return Err(failed(&response));
        }
        let text = std::str::from_utf8(&response.body).map_err(|_| Fault::Damaged)?;
        let whole = text.contains("</ListBucketResult>");
        let line = |part: &str| -> Option<Listed> {
            let key = tags(part, "Key").first()?.strip_prefix(folder.as_str())?;
            let bytes = tags(part, "Size").first()?.parse().ok()?;
            let slot = Slot::listed(key)?;
            Some(Listed { slot, bytes })
        };
        let lines = tags(text, "Contents");
        let lines = lines.into_iter().map(line).collect::<Option<Vec<Listed>>>();
        lines.filter(|_| whole).ok_or(Fault::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn days_become_dates() {
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_782_400), "20000229T000000Z");
        assert_eq!(stamp(1_735_689_599), "20241231T235959Z");
        assert_eq!(stamp(4_107_542_400), "21000301T000000Z");
    }
}

//! Google Cloud Firestore: documents written by commits with a precondition.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Scope, Slot, Token};
use serde_json::{Value, json};

use super::{Auth, BOUND, ask, failed};
use crate::client::{Http, Response};

/// A database.
#[derive(Clone, Debug)]
pub struct Firestore {
    http: Http,
    auth: Auth,
    endpoint: String,
    /// `projects/P/databases/D/documents`
    root: String,
}

impl Firestore {
    /// The database at `https://firestore.googleapis.com`, or at an emulator's address.
    #[must_use]
    pub fn new(endpoint: &str, project: &str, database: &str, auth: Auth) -> Self {
        Self {
            http: Http::new(BOUND),
            auth,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            root: format!("projects/{project}/databases/{database}/documents"),
        }
    }

    fn parent(&self, scope: &Scope) -> String {
        let owner = scope.to_string().replace('/', ".");
        format!("{}/saves/{owner}", self.root)
    }

    /// A slot's path without a slash: no name has a colon in it.
    fn document(&self, scope: &Scope, slot: &Slot) -> String {
        format!(
            "{}/slots/{}",
            self.parent(scope),
            slot.text().replace('/', ":")
        )
    }

    fn post(&self, path: &str, body: &Value) -> Result<Response, Fault> {
        let url = format!("{}/v1/{path}", self.endpoint);
        let text = body.to_string();
        let body = Some(text.as_bytes());
        ask(
            &self.http,
            &self.auth,
            "POST",
            &url,
            "application/json",
            body,
        )
    }

    fn commit(&self, write: &Value) -> Result<(), Fault> {
        let body = json!({ "writes": [write] });
        let response = self.post(&format!("{}:commit", self.root), &body)?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match (response.status, answer["error"]["status"].as_str()) {
            (200, None) if answer["commitTime"].is_string() => Ok(()),
            (200, None) => Err(Fault::Lost),
            (_, Some("FAILED_PRECONDITION" | "ALREADY_EXISTS" | "NOT_FOUND" | "ABORTED")) => {
                Err(Fault::Precondition)
            }
            (404 | 409 | 412, _) => Err(Fault::Precondition),
            _ => Err(failed(&response)),
        }
    }
}

impl Backend for Firestore {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        let url = format!("{}/v1/{}", self.endpoint, self.document(scope, slot));
        let response = ask(&self.http, &self.auth, "GET", &url, "", None)?;
        match response.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(failed(&response)),
        }
        let answer: Value = serde_json::from_slice(&response.body).map_err(|_| Fault::Lost)?;
        let time = answer["updateTime"].as_str().ok_or(Fault::Damaged)?;
        let data = answer["fields"]["data"]["bytesValue"].as_str();
        let data = data.and_then(|data| STANDARD.decode(data).ok());
        Ok(Some(Loaded {
            token: Token(time.as_bytes().into()),
            bytes: data.ok_or(Fault::Damaged)?,
        }))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let current = match only {
            Condition::Absent => json!({ "exists": false }),
            Condition::Is(token) => {
                let time = std::str::from_utf8(&token.0).map_err(|_| Fault::Damaged)?;
                json!({ "updateTime": time })
            }
        };
        let fields = json!({
            "data": { "bytesValue": STANDARD.encode(bytes) },
            "size": { "integerValue": bytes.len().to_string() },
        });
        self.commit(&json!({
            "update": { "name": self.document(scope, slot), "fields": fields },
            "currentDocument": current,
        }))
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.commit(&json!({ "delete": self.document(scope, slot) }))
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let parent = self.parent(scope);
        let name = |text: &str| json!({ "referenceValue": format!("{parent}/slots/{text}") });
        let first = match after {
            Some(after) => after.text().replace('/', ":"),
            None => format!("{}!", group.prefix().trim_end_matches('/')),
        };
        // Behind every name of the group: `;` follows the colon that ends its prefix.
        let end = match group {
            Group::Heads => "head;",
            Group::Ledgers => "ledger;",
            Group::All => "~",
        };
        let bound = |op: &str, value: Value| json!({ "fieldFilter": { "field": { "fieldPath": "__name__" }, "op": op, "value": value } });
        let filters = json!([
            bound("GREATER_THAN", name(&first)),
            bound("LESS_THAN", name(end))
        ]);
        let body = json!({ "structuredQuery": {
            "select": { "fields": [{ "fieldPath": "size" }] },
            "from": [{ "collectionId": "slots" }],
            "where": { "compositeFilter": { "op": "AND", "filters": filters } },
            "orderBy": [{ "field": { "fieldPath": "__name__" } }],
            "limit": most,
        } });
        let response = self.post(&format!("{parent}:runQuery"), &body)?;
        if response.status != 200 {
            return Err(failed(&response));
        }
        let answer: Value = serde_json::from_slice(&response.body).map_err(|_| Fault::Lost)?;
        let documents = answer.as_array().ok_or(Fault::Damaged)?.iter();
        let documents = documents
            .map(|line| &line["document"])
            .filter(|document| document.is_object());
        let line = |document: &Value| -> Option<Listed> {
            let (_, name) = document["name"].as_str()?.rsplit_once('/')?;
            let slot = Slot::listed(&name.replace(':', "/"))?;
            let bytes = document["fields"]["size"]["integerValue"]
                .as_str()?
                .parse()
                .ok()?;
            Some(Listed { slot, bytes })
        };
        documents
            .map(line)
            .collect::<Option<Vec<Listed>>>()
            .ok_or(Fault::Damaged)
    }
}

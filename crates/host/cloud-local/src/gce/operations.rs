//! Operations: what came of an order, for whoever asks later.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tiny_http::Method;

use super::things::Kind;
use super::{not_known, told};
use crate::PROJECT;
use crate::params::Refusal;
use crate::server::Answer;
use crate::state::Cloud;

/// How an operation stands.
pub enum Outcome {
    Done,
    Running,
    /// The provider's code and sentence.
    Failed(&'static str, String),
}

/// Writes one down, and gives it.
pub fn begin(cloud: &mut Cloud, kind: Kind, name: &str, verb: &str, outcome: Outcome) -> Value {
    let id = cloud.identifier("operation");
    let google = &mut cloud.google;
    let scope = kind.scope();
    let link = google.link(&format!("projects/{PROJECT}/{scope}/operations/{id}"));
    let mut operation = json!({
        "kind": "compute#operation",
        "id": "1",
        "name": id,
        "operationType": verb,
        "targetLink": google.link(&google.path(kind, name)),
        "user": "capos@local",
        "status": "DONE",
        "progress": 100,
        "selfLink": link,
    });
    if let Some(fields) = operation.as_object_mut() {
        fields.extend(google.whereabouts(kind));
    }
    match outcome {
        Outcome::Done => {}
        Outcome::Running => {
            operation["status"] = "RUNNING".into();
            operation["progress"] = 0.into();
        }
        Outcome::Failed(code, message) => {
            operation["error"] = json!({"errors": [{"code": code, "message": message}]});
            operation["httpErrorStatusCode"] = 400.into();
            operation["httpErrorMessage"] = "BAD REQUEST".into();
        }
    }
    google.operations.insert(id, operation.clone());
    operation
}

/// How one stands; `NAME/wait` answers a little later where it goes on.
pub fn ask(method: &Method, rest: &str, cloud: &Cloud) -> Result<Answer, Refusal> {
    let (name, is_patient) = match (method, rest.strip_suffix("/wait")) {
        (Method::Post, Some(name)) => (name, true),
        (Method::Get, None) => (rest, false),
        _ => return Err(not_known(method, rest)),
    };
    let operation = cloud.google.operations.get(name);
    let operation = operation.ok_or_else(|| super::missing(&format!("operations/{name}")))?;
    if is_patient && operation["status"] != "DONE" {
        thread::sleep(Duration::from_millis(200));
    }
    Ok(told(200, operation))
}

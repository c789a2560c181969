//! Google's Compute Engine and Cloud Storage, as far as a launch needs them.
//!
//! Source: Compute Engine API reference, v1, "REST resources" and "Handling API responses" (operations); Cloud Storage JSON API, v1.
//! What is made tells the fields that it was asked for, and those that the provider adds.

mod filter;
mod images;
mod instances;
mod networks;
mod operations;
mod storage;
mod things;

use serde_json::{Value, json};
use tiny_http::{Method, Request};

use crate::params::{Params, Refusal};
use crate::server::{Answer, body, header};
use crate::state::Cloud;
use crate::{PROJECT, REGION_OF_ZONE, TOKEN, ZONE};
use filter::Filter;
pub use things::Google;
use things::{Kind, Thing};

const COMPUTE: &str = "/compute/v1/";

/// Whether a request is for Google's services.
pub fn is_for(url: &str) -> bool {
    url.starts_with(COMPUTE) || storage::is_for(url)
}

/// One request.
pub fn handle(request: &mut Request, cloud: &mut Cloud) -> Answer {
    let host = header(request, "host").unwrap_or_default();
    cloud.google.base = format!("http://{host}");
    let answered = check(request, cloud).and_then(|()| match request.url().starts_with(COMPUTE) {
        true => compute(request, cloud),
        false => storage::handle(request, cloud),
    });
    answered.unwrap_or_else(|refusal| {
        let error = json!({
            "code": refusal.status,
            "message": refusal.message,
            "errors": [{"message": refusal.message, "domain": "global", "reason": refusal.code}],
        });
        told(refusal.status, &json!({ "error": error }))
    })
}

fn told(status: u16, value: &Value) -> Answer {
    Answer {
        status,
        body: value.to_string().into_bytes(),
        headers: vec![("Content-Type", "application/json; charset=UTF-8".into())],
        told_bytes: None,
    }
}

/// Whether whoever asks holds the token.
fn check(request: &Request, cloud: &Cloud) -> Result<(), Refusal> {
    let bearer = header(request, "authorization").and_then(|it| it.strip_prefix("Bearer "));
    if bearer == Some(TOKEN) && !cloud.is_expired {
        return Ok(());
    }
    Err(Refusal {
        status: 401,
        ..Refusal::new(
            "authError",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
             authentication credential.",
        )
    })
}

/// Nothing has this name.
fn missing(path: &str) -> Refusal {
    Refusal {
        status: 404,
        ..Refusal::new("notFound", format!("The resource '{path}' was not found"))
    }
}

/// A request for machines, disks and networks.
fn compute(request: &mut Request, cloud: &mut Cloud) -> Result<Answer, Refusal> {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let query = Params::read(query.as_bytes());
    query.only("alt", "json")?;
    let resource = path.strip_prefix(COMPUTE).unwrap_or_default();
    let project = format!("projects/{PROJECT}");
    let inside = resource.strip_prefix(&project);
    let inside = inside.ok_or_else(|| missing(resource))?;
    let method = request.method().clone();
    if let Some(about) = about(inside) {
        query.finish()?;
        return match method {
            Method::Get => Ok(told(200, &about)),
            _ => Err(not_known(&method, resource)),
        };
    }
    if let Some((kind, rest)) = Kind::of(inside) {
        let rest: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        return of_kind(request, cloud, &query, (&method, kind, &rest));
    }
    if let Some((_, operation)) = inside.split_once("/operations/") {
        query.finish()?;
        return operations::ask(&method, operation, cloud);
    }
    Err(missing(resource))
}

fn not_known(method: &Method, resource: &str) -> Refusal {
    Refusal {
        status: 405,
        ..Refusal::new(
            "methodNotAllowed",
            format!("{method} of {resource} is not known here"),
        )
    }
}

/// What a project, its zone and its region say of themselves.
fn about(inside: &str) -> Option<Value> {
    let zone = format!("/zones/{ZONE}");
    let region = format!("/regions/{REGION_OF_ZONE}");
    match inside {
        "" => Some(json!({"kind": "compute#project", "id": "1", "name": PROJECT})),
        it if it == zone => Some(json!({"kind": "compute#zone", "name": ZONE, "status": "UP"})),
        it if it == region => {
            Some(json!({"kind": "compute#region", "name": REGION_OF_ZONE, "status": "UP"}))
        }
        _ => None,
    }
}

/// A request about things of one kind: a listing, a new one, or one with a name.
fn of_kind(
    request: &mut Request,
    cloud: &mut Cloud,
    query: &Params,
    (method, kind, rest): (&Method, Kind, &[&str]),
) -> Result<Answer, Refusal> {
    match (method, rest) {
        (Method::Get, []) => {
            let filter = Filter::read(query.get("filter"))?;
            query.get("maxResults");
            query.finish()?;
            Ok(told(200, &cloud.google.list(kind, &filter)))
        }
        (Method::Post, []) => {
            query.finish()?;
            insert(request, cloud, kind)
        }
        (Method::Get, [name]) => {
            query.finish()?;
            cloud.google.get(kind, name).map(|it| told(200, it))
        }
        (Method::Delete, [name]) => {
            query.finish()?;
            delete(cloud, kind, name)
        }
        (Method::Get, [name, "serialPort"]) if kind == Kind::Instance => {
            instances::serial(query, cloud, name).map(|it| told(200, &it))
        }
        _ => Err(not_known(method, &rest.join("/"))),
    }
}

/// What came of an order.
enum Made {
    /// It is there.
    Done(Thing),
    /// It is begun, and goes on.
    Begun(Thing),
    /// It was begun and failed: the provider's code and sentence.
    Failed(&'static str, String),
}

/// Makes something.
fn insert(request: &mut Request, cloud: &mut Cloud, kind: Kind) -> Result<Answer, Refusal> {
    let body = body(request)?;
    let order: Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::new("parseError", error.to_string()))?;
    let params = Params::of(&order);
    let name = params.need("name")?.to_owned();
    if !is_name(&name) {
        return Err(Refusal::new(
            "invalid",
            format!("Invalid value for field 'resource.name': '{name}'"),
        ));
    }
    if cloud.google.get(kind, &name).is_ok() {
        return Err(Refusal {
            status: 409,
            ..Refusal::new(
                "alreadyExists",
                format!(
                    "The resource '{}' already exists",
                    cloud.google.path(kind, &name)
                ),
            )
        });
    }
    let made = match kind {
        Kind::Network | Kind::Subnet | Kind::Firewall => networks::insert(kind, &params, cloud),
        Kind::Image => images::insert(&params, cloud),
        Kind::Instance => instances::insert(&name, &params, cloud),
        Kind::Disk => Err(not_known(&Method::Post, "disks")),
    };
    let (thing, outcome) = match made? {
        Made::Done(thing) => (Some(thing), operations::Outcome::Done),
        Made::Begun(thing) => (Some(thing), operations::Outcome::Running),
        Made::Failed(code, why) => (None, operations::Outcome::Failed(code, why)),
    };
    if let Some(thing) = thing {
        cloud.google.put(kind, &name, &order, thing);
    }
    if kind == Kind::Instance {
        instances::spoil(cloud, &name);
    }
    let operation = operations::begin(cloud, kind, &name, "insert", outcome);
    Ok(told(200, &operation))
}

/// Names of resources: RFC 1035, at most 63 bytes.
fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Removes something that nothing else uses.
fn delete(cloud: &mut Cloud, kind: Kind, name: &str) -> Result<Answer, Refusal> {
    cloud.google.get(kind, name)?;
    if let Some(user) = cloud.google.user(kind, name) {
        let path = cloud.google.path(kind, name);
        return Err(Refusal::new(
            "resourceInUseByAnotherResource",
            format!(
                "The {} resource '{path}' is already being used by '{user}'",
                kind.one()
            ),
        ));
    }
    // One fault stands for images, and one for instances.
    let is_kept = match cloud.fault {
        Some(crate::Fault::FailedDelete) => kind == Kind::Image,
        Some(crate::Fault::FailedTerminate) => kind == Kind::Instance,
        _ => false,
    };
    if !is_kept {
        cloud.google.remove(kind, name);
    }
    let outcome = operations::Outcome::Done;
    let operation = operations::begin(cloud, kind, name, "delete", outcome);
    Ok(told(200, &operation))
}

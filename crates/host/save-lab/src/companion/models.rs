//! The providers as the page sees them: REST over one model of what they keep and do wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use save_bridge::http::Request;
use serde_json::{Value, json};

use super::ends::Said;
use super::{TOKEN, World, open};
use crate::fakes::{Handle, Trouble};

/// Lines of one page of a list, so that ends are met.
const PAGE: usize = 1;
/// The user whose token there is.
const USER: &str = "ann";

/// Whoever is signed in is told so; a provider's own page does this.
fn sign_in(world: &World) -> Said {
    let session = open(&world.session);
    Said::json(&json!({ "uid": session.uid, "scope": session.scope, "token": session.token }))
}

fn is_user(request: &Request) -> bool {
    let token = request.header("authorization");
    token.and_then(|text| text.strip_prefix("Bearer ")) == Some(TOKEN)
}

fn trouble(trouble: Trouble) -> Said {
    match trouble {
        Trouble::NoNetwork => Said::Nothing,
        _ => Said::status(500),
    }
}

/// The lines of a page from `token` on, and the next one's token.
fn page<T: Clone>(all: &[T], query: &str) -> (Vec<T>, Option<String>) {
    let token = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("pageToken="));
    let from = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    let lines = all.iter().skip(from).take(PAGE).cloned().collect();
    let next = from + PAGE;
    (lines, (next < all.len()).then(|| next.to_string()))
}

/// Drive v3, as far as `drive.appdata` reaches.
pub(crate) fn drive(world: &World, request: &Request) -> Said {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if path == "/signin" {
        return sign_in(world);
    }
    if !is_user(request) {
        return Said::status(401);
    }
    let place = format!("{USER}/appDataFolder");
    let mut cloud = open(&world.cloud);
    match (request.method.as_str(), path) {
        ("POST", "/upload/drive/v3/files") => match multipart(&request.body) {
            Some((name, bytes)) => match cloud.write(&place, name, bytes) {
                Ok(()) => Said::json(&json!({ "kind": "drive#file" })),
                Err(error) => trouble(error),
            },
            None => Said::status(400),
        },
        ("GET", "/drive/v3/files") if query.contains("spaces=appDataFolder") => {
            let files = match cloud.read(&place) {
                Ok(files) => files,
                Err(error) => return trouble(error),
            };
            let all: Vec<Value> = files
                .iter()
                .zip(0..)
                .map(|((name, _), id)| json!({ "id": format!("id/{id}"), "name": name }))
                .collect();
            let (files, next) = page(&all, query);
            Said::json(&json!({ "files": files, "nextPageToken": next }))
        }
        ("GET", path) => {
            let id = path.strip_prefix("/drive/v3/files/id%2F");
            let id: Option<usize> = id.and_then(|id| id.parse().ok());
            let files = cloud.read(&place).unwrap_or_default();
            match id.and_then(|id| files.get(id)) {
                Some((_, bytes)) => Said::This(200, "application/octet-stream", bytes.clone()),
                None => Said::status(404),
            }
        }
        _ => Said::status(404),
    }
}

/// Name and bytes of an upload of two parts, into the application's folder.
fn multipart(body: &[u8]) -> Option<(String, &[u8])> {
    let find = |from: usize, what: &[u8]| {
        let rest = body.get(from..)?;
        let at = rest.windows(what.len()).position(|part| part == what)?;
        Some((from + at, from + at + what.len()))
    };
    let (_, about) = find(0, b"\r\n\r\n")?;
    let (about_end, _) = find(about, b"\r\n--capsule")?;
    let (_, bytes) = find(about_end, b"\r\n\r\n")?;
    let (end, _) = find(bytes, b"\r\n--capsule--")?;
    let about: Value = serde_json::from_slice(body.get(about..about_end)?).ok()?;
    if about["parents"] != json!(["appDataFolder"]) {
        return None;
    }
    Some((about["name"].as_str()?.to_owned(), body.get(bytes..end)?))
}

/// Firestore, behind the rules of `tools/companion/firestore.rules`: the same ones, written once more.
pub(crate) fn firebase(world: &World, request: &Request) -> Said {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if path == "/signin" {
        return sign_in(world);
    }
    let documents = "/v1/projects/capos-test/databases/(default)/documents/users/";
    let Some(below) = path.strip_prefix(documents) else {
        return Said::status(404);
    };
    let (uid, rest) = below.split_once('/').unwrap_or((below, ""));
    if !is_user(request) || uid != USER {
        return Said::status(403);
    }
    let place = format!("users/{uid}/saves");
    let mut cloud = open(&world.cloud);
    match (request.method.as_str(), rest) {
        ("PATCH", rest) => {
            let Some(handle) = rest.strip_prefix("saves/").and_then(Handle::read) else {
                return Said::status(403);
            };
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let fields = body["fields"].as_object();
            let only = fields.is_some_and(|fields| fields.keys().eq(["capsule"]));
            let bytes = body["fields"]["capsule"]["bytesValue"].as_str();
            let bytes = bytes.and_then(|text| STANDARD.decode(text).ok());
            match bytes.filter(|bytes| only && bytes.len() <= save_capsule::MAX_CAPSULE) {
                Some(bytes) => match cloud.write(&place, handle.text(), &bytes) {
                    Ok(()) => Said::json(&json!({})),
                    Err(error) => trouble(error),
                },
                None => Said::status(403),
            }
        }
        ("GET", "saves") => {
            let files = match cloud.read(&place) {
                Ok(files) => files,
                Err(error) => return trouble(error),
            };
            let document = |(name, bytes): &(String, Vec<u8>)| {
                json!({
                    "name": format!("projects/capos-test/databases/(default)/documents/{place}/{name}"),
                    "fields": { "capsule": { "bytesValue": STANDARD.encode(bytes) } },
                })
            };
            let all: Vec<Value> = files.iter().map(document).collect();
            let (documents, next) = page(&all, query);
            Said::json(&json!({ "documents": documents, "nextPageToken": next }))
        }
        _ => Said::status(403),
    }
}

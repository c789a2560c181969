//! Objects, by the JSON interface: what `gcloud storage` needs.
//!
//! Source: Cloud Storage JSON API v1, "Objects" and "Resumable uploads".

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tiny_http::{Method, Request};

use super::{missing, not_known, told};
use crate::bytes::{self, broken};
use crate::fault::Fault;
use crate::params::{Params, Refusal};
use crate::s3::decoded;
use crate::server::{Answer, body, header};
use crate::state::Cloud;

const PLAIN: &str = "/storage/v1/b/";
const UPLOAD: &str = "/upload/storage/v1/b/";
const RESUMABLE: &str = "/resumable/upload/storage/v1/b/";
/// The longest upload in one request; the tool sends what is longer otherwise (`storage/resumable_threshold`).
const SINGLE_BYTES: u64 = 16 << 20;

/// An uploaded object.
#[derive(Debug)]
pub struct Stored {
    pub path: PathBuf,
    pub bytes: u64,
    md5: [u8; 16],
    generation: u64,
}

/// Whether a request is for objects.
pub fn is_for(url: &str) -> bool {
    [PLAIN, UPLOAD, RESUMABLE]
        .iter()
        .any(|start| url.starts_with(start))
}

/// The object that an image's source names.
pub fn find<'a>(cloud: &'a Cloud, source: &str) -> Option<&'a Stored> {
    let (_, inside) = source.split_once(PLAIN)?;
    let (bucket, key) = inside.split_once("/o/")?;
    let key = (bucket.to_owned(), decoded(key));
    cloud.google.objects.get(&key)
}

/// One request.
pub fn handle(request: &mut Request, cloud: &mut Cloud) -> Result<Answer, Refusal> {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let query = Params::read(query.as_bytes());
    query.only("alt", "json")?;
    let starts = [PLAIN, UPLOAD, RESUMABLE];
    let inside = starts.iter().find_map(|start| path.strip_prefix(start));
    let inside = inside.unwrap_or_default();
    let (bucket, rest) = inside.split_once('/').unwrap_or((inside, ""));
    let bucket = decoded(bucket);
    if !cloud.buckets.contains(&bucket) {
        return Err(Refusal {
            status: 404,
            ..Refusal::new("notFound", "The specified bucket does not exist.")
        });
    }
    let method = request.method().clone();
    if !path.starts_with(PLAIN) {
        return upload(request, cloud, &query, (&method, &bucket));
    }
    match (&method, rest.strip_prefix("o/"), rest) {
        (Method::Get, None, "") => {
            shown(&query)?;
            Ok(told(
                200,
                &json!({"kind": "storage#bucket", "name": bucket, "location": "US"}),
            ))
        }
        (Method::Get, None, "o") => list(&query, cloud, &bucket).map(|it| told(200, &it)),
        (Method::Get, Some(key), _) => {
            shown(&query)?;
            let key = (bucket, decoded(key));
            let object = cloud.google.objects.get(&key);
            let object = object.ok_or_else(|| missing(&key.1))?;
            Ok(told(200, &tell(&key.0, &key.1, object)))
        }
        (Method::Delete, Some(key), _) => delete(&query, cloud, bucket, decoded(key)),
        _ => Err(not_known(&method, path)),
    }
}

/// Parameters that say how much is shown: more than was asked for does no harm.
fn shown(query: &Params) -> Result<(), Refusal> {
    query.get("fields");
    query.get("projection");
    query.finish()
}

fn delete(
    query: &Params,
    cloud: &mut Cloud,
    bucket: String,
    key: String,
) -> Result<Answer, Refusal> {
    let generation = query.get("generation").map(str::to_owned);
    query.finish()?;
    let key = (bucket, key);
    let object = cloud.google.objects.get(&key);
    let object = object.ok_or_else(|| missing(&key.1))?;
    if generation.is_some_and(|wanted| wanted != object.generation.to_string()) {
        return Err(missing(&key.1));
    }
    fs::remove_file(&object.path).map_err(broken)?;
    cloud.google.objects.remove(&key);
    Ok(Answer::empty(204))
}

fn tell(bucket: &str, key: &str, object: &Stored) -> Value {
    json!({
        "kind": "storage#object",
        "id": format!("{bucket}/{key}/{}", object.generation),
        "name": key,
        "bucket": bucket,
        "generation": object.generation.to_string(),
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": object.bytes.to_string(),
        "md5Hash": STANDARD.encode(object.md5),
        "timeCreated": "2024-01-01T00:00:00.000Z",
        "updated": "2024-01-01T00:00:00.000Z",
    })
}

fn list(query: &Params, cloud: &Cloud, bucket: &str) -> Result<Value, Refusal> {
    let prefix = query.get("prefix").unwrap_or_default().to_owned();
    let delimiter = query.get("delimiter").map(str::to_owned);
    // There is one version of an object, and no folder.
    for name in ["maxResults", "versions", "includeFoldersAsPrefixes"] {
        query.get(name);
    }
    shown(query)?;
    let (mut items, mut prefixes) = (Vec::new(), BTreeSet::new());
    for ((place, key), object) in &cloud.google.objects {
        let Some(rest) = key.strip_prefix(&prefix).filter(|_| place == bucket) else {
            continue;
        };
        let deeper = delimiter
            .as_ref()
            .and_then(|mark| Some((mark, rest.split_once(mark)?.0)));
        match deeper {
            Some((mark, start)) => drop(prefixes.insert(format!("{prefix}{start}{mark}"))),
            None => items.push(tell(place, key, object)),
        }
    }
    Ok(json!({"kind": "storage#objects", "items": items, "prefixes": prefixes}))
}

/// Both ways to upload: in one request, or announced and then sent.
fn upload(
    request: &mut Request,
    cloud: &mut Cloud,
    query: &Params,
    (method, bucket): (&Method, &str),
) -> Result<Answer, Refusal> {
    let kind = query.need("uploadType")?.to_owned();
    let id = query.get("upload_id").map(str::to_owned);
    query.finish()?;
    match (method, kind.as_str(), id) {
        (Method::Post, "multipart", None) => {
            let (key, bytes) = single(request, bucket)?;
            store(cloud, bucket, key, bytes.as_slice())
        }
        (Method::Post, "resumable", None) => {
            let key = key(&body(request)?, bucket)?;
            let id = cloud.identifier("upload");
            let google = &mut cloud.google;
            let place = format!(
                "{}{RESUMABLE}{bucket}/o?alt=json&uploadType=resumable&upload_id={id}",
                google.base
            );
            google.uploads.insert(id, (bucket.to_owned(), key));
            let mut answer = told(200, &json!({}));
            answer.headers.push(("Location", place));
            Ok(answer)
        }
        (Method::Put, "resumable", Some(id)) => {
            let begun = cloud.google.uploads.get(&id).cloned();
            let (bucket, key) = begun.ok_or_else(|| missing(&id))?;
            whole(request)?;
            let end = store(cloud, &bucket, key, request.as_reader());
            if end.is_ok() {
                cloud.google.uploads.remove(&id);
            }
            end
        }
        _ => Err(not_known(method, &kind)),
    }
}

/// Refuses a part of an object: the tool sends all of it at once.
fn whole(request: &Request) -> Result<(), Refusal> {
    let range = header(request, "content-range").unwrap_or_default();
    let bounds = range
        .strip_prefix("bytes 0-")
        .and_then(|rest| rest.split_once('/'));
    let last_and_total = bounds
        .and_then(|(last, total)| Some((last.parse::<u64>().ok()?, total.parse::<u64>().ok()?)));
    match last_and_total {
        Some((last, total)) if last.checked_add(1) == Some(total) => Ok(()),
        _ => Err(Refusal::new(
            "invalid",
            format!("The range '{range}' is not a whole object"),
        )),
    }
}

/// The object's name in what announces it.
fn key(announced: &[u8], bucket: &str) -> Result<String, Refusal> {
    let announced: Value = serde_json::from_slice(announced)
        .map_err(|error| Refusal::new("parseError", error.to_string()))?;
    let params = Params::of(&announced);
    params.only("bucket", bucket)?;
    params.get("contentType");
    let key = params.need("name")?.to_owned();
    params.finish()?;
    Ok(key)
}

/// An upload in one request: `multipart/related`, the object's fields and its bytes (RFC 2387, RFC 2046).
fn single(request: &mut Request, bucket: &str) -> Result<(String, Vec<u8>), Refusal> {
    let malformed = || Refusal::new("badContent", "The parts of the upload are not well formed");
    let kind = header(request, "content-type").unwrap_or_default();
    let boundary = kind
        .strip_prefix("multipart/related; boundary=")
        .ok_or_else(malformed)?;
    let mark = format!("--{}", boundary.trim_matches(['\'', '"'])).into_bytes();
    let mut all = Vec::new();
    use std::io::Read as _;
    let read = request.as_reader().take(SINGLE_BYTES).read_to_end(&mut all);
    read.map_err(broken)?;
    let (fields, bytes) = parts(&all, &mark).ok_or_else(malformed)?;
    Ok((key(fields, bucket)?, bytes.to_vec()))
}

fn find_bytes(all: &[u8], wanted: &[u8]) -> Option<usize> {
    all.windows(wanted.len())
        .position(|window| window == wanted)
}

/// The two parts, without their headers.
fn parts<'a>(all: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let after = |all: &'a [u8], wanted: &[u8]| {
        let at = find_bytes(all, wanted)?;
        all.get(at + wanted.len()..)
    };
    let line = [b"\n", mark].concat();
    let first = after(after(all, mark)?, b"\n\n")?;
    let end = find_bytes(first, &line)?;
    let second = after(first.get(end + line.len()..)?, b"\n\n")?;
    // The bytes may hold anything: the end is looked for at the end.
    let last = [b"\n", mark, b"--"].concat();
    let end = second.len().checked_sub(last.len() + 2)?;
    let start = find_bytes(second.get(end..)?, &last)?;
    Some((
        first.get(..find_bytes(first, &line)?)?,
        second.get(..end + start)?,
    ))
}

/// Makes an object visible.
fn store(
    cloud: &mut Cloud,
    bucket: &str,
    key: String,
    body: impl std::io::Read,
) -> Result<Answer, Refusal> {
    let id = cloud.identifier("bytes");
    let path = cloud.dir.join(id);
    let kept = bytes::keep(body, path)?;
    let mut object = Stored {
        path: kept.path,
        bytes: kept.bytes,
        md5: kept.md5,
        generation: cloud.google.objects.len() as u64 + 1,
    };
    if cloud.fault == Some(Fault::ShortObject) {
        object.bytes = object.bytes.saturating_sub(1);
        let file = fs::File::options().write(true).open(&object.path);
        file.and_then(|file| file.set_len(object.bytes))
            .map_err(broken)?;
    }
    let answer = told(200, &tell(bucket, &key, &object));
    let old = cloud
        .google
        .objects
        .insert((bucket.to_owned(), key), object);
    if let Some(old) = old {
        let _ = fs::remove_file(&old.path);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn the_parts_of_an_upload_are_told_apart() {
        let all = b"--x\nContent-Type: a\n\n{}\n--x\nContent-Type: b\n\n\x00\n--x\n\n\xff\n--x--";
        let (fields, bytes) = parts(all, b"--x").unwrap_or_default();
        assert_eq!(fields, b"{}");
        assert_eq!(bytes, b"\x00\n--x\n\n\xff");
        let ended = [all.as_slice(), b"\n"].concat();
        assert_eq!(parts(&ended, b"--x").map(|(_, bytes)| bytes.len()), Some(8));
        for cut in 0..all.len() {
            assert!(parts(&all[..cut], b"--x").is_none(), "{cut}");
        }
        assert!(parts(all, b"--y").is_none());
    }
}

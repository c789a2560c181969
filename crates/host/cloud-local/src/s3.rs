//! Objects: what `aws s3 cp` and the listing of what is left need.
//!
//! Source: Amazon S3 API Reference, "Actions", in path style.

use std::fs::{self, File};
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;
use tiny_http::{Method, Request};

use crate::bytes::{self, broken};
use crate::fault::Fault;
use crate::params::{Params, Refusal};
use crate::server::{Answer, body, header};
use crate::state::{Cloud, Object, Upload};
use crate::xml::Xml;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// The most parts of an object.
const PARTS: u32 = 10_000;

/// A refusal as S3 writes it.
pub fn refused(refusal: &Refusal) -> Answer {
    Answer::xml(
        refusal.status,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>",
            refusal.code,
            quick_xml::escape::escape(&refusal.message)
        ),
    )
}

fn missing(code: &'static str, what: &str) -> Refusal {
    Refusal {
        status: 404,
        ..Refusal::new(code, format!("{what} does not exist"))
    }
}

/// What a part of a path says.
pub fn decoded(text: &str) -> String {
    // A plus sign is one in a path.
    let text = text.replace('+', "%2B");
    let pair = format!("x={text}");
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// One request.
pub fn handle(request: &mut Request, cloud: &mut Cloud) -> Result<Answer, Refusal> {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let params = Params::read(query.as_bytes());
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let (bucket, key) = (decoded(bucket), decoded(key));
    let method = request.method().clone();
    if key.is_empty() {
        return of_bucket(&method, &bucket, &params, cloud);
    }
    need_bucket(cloud, &bucket)?;
    match (method, params.get("uploadId").map(str::to_owned)) {
        (Method::Put, Some(id)) => put_part(request, cloud, &params, &id),
        (Method::Put, None) => {
            let object = keep(request, cloud)?;
            let etag = object.etag.clone();
            put(cloud, bucket, key, object)?;
            Ok(tagged(etag))
        }
        (Method::Post, Some(id)) => complete(request, cloud, &id, bucket, key),
        (Method::Post, None) => {
            params.need("uploads")?;
            Ok(begin(cloud, bucket, key))
        }
        (Method::Delete, Some(id)) => {
            let upload = cloud.uploads.remove(&id);
            let upload = upload.ok_or_else(|| missing("NoSuchUpload", &id))?;
            for part in upload.parts.values() {
                let _ = fs::remove_file(&part.path);
            }
            Ok(Answer::empty(204))
        }
        (Method::Delete, None) => {
            // Deleting what is not there is no error.
            if let Some(object) = cloud.objects.remove(&(bucket, key)) {
                let _ = fs::remove_file(&object.path);
            }
            Ok(Answer::empty(204))
        }
        (Method::Head, None) => {
            let object = cloud.objects.get(&(bucket, key.clone()));
            let object = object.ok_or_else(|| missing("NoSuchKey", &key))?;
            let mut answer = tagged(object.etag.clone());
            answer.told_bytes = Some(object.bytes);
            let date = "Mon, 01 Jan 2024 00:00:00 GMT";
            answer.headers.push(("Last-Modified", date.into()));
            Ok(answer)
        }
        (method, _) => Err(Refusal {
            status: 405,
            ..Refusal::new(
                "MethodNotAllowed",
                format!("{method} of an object is not known here"),
            )
        }),
    }
}

/// One part of an upload.
fn put_part(
    request: &mut Request,
    cloud: &mut Cloud,
    params: &Params,
    id: &str,
) -> Result<Answer, Refusal> {
    let number = params.need("partNumber")?.parse().ok();
    let number = number.filter(|number| (1..=PARTS).contains(number));
    let number =
        number.ok_or_else(|| Refusal::new("InvalidArgument", "That is no part's number"))?;
    let part = keep(request, cloud)?;
    let etag = part.etag.clone();
    let upload = cloud.uploads.get_mut(id);
    let upload = upload.ok_or_else(|| missing("NoSuchUpload", id))?;
    if let Some(old) = upload.parts.insert(number, part) {
        let _ = fs::remove_file(&old.path);
    }
    Ok(tagged(etag))
}

/// Begins an upload in parts.
fn begin(cloud: &mut Cloud, bucket: String, key: String) -> Answer {
    let id = cloud.identifier("upload");
    let told = Xml::document("InitiateMultipartUploadResult", NAMESPACE, |xml| {
        xml.text("Bucket", &bucket);
        xml.text("Key", &key);
        xml.text("UploadId", &id);
    });
    let upload = Upload {
        bucket,
        key,
        parts: std::collections::BTreeMap::new(),
    };
    cloud.uploads.insert(id, upload);
    Answer::xml(200, told)
}

fn tagged(etag: String) -> Answer {
    let mut answer = Answer::empty(200);
    answer.headers.push(("ETag", format!("\"{etag}\"")));
    answer
}

fn need_bucket(cloud: &Cloud, bucket: &str) -> Result<(), Refusal> {
    match cloud.buckets.iter().any(|known| known == bucket) {
        true => Ok(()),
        false => Err(missing("NoSuchBucket", bucket)),
    }
}

/// Requests about a bucket: making one, and what is in it.
fn of_bucket(
    method: &Method,
    bucket: &str,
    params: &Params,
    cloud: &mut Cloud,
) -> Result<Answer, Refusal> {
    if *method == Method::Put {
        if !cloud.buckets.iter().any(|known| known == bucket) {
            cloud.buckets.push(bucket.to_owned());
        }
        return Ok(Answer::empty(200));
    }
    need_bucket(cloud, bucket)?;
    if *method == Method::Head {
        return Ok(Answer::empty(200));
    }
    let prefix = params.get("prefix").unwrap_or_default().to_owned();
    params.only("encoding-type", "url")?;
    let spelling = match params.get("encoding-type") {
        Some(_) => Spelling::Encoded,
        None => Spelling::Plain,
    };
    // Fewer than one answer takes are ever there.
    for known in ["max-keys", "max-uploads", "list-type"] {
        params.get(known);
    }
    let is_uploads = params.get("uploads").is_some();
    params.finish()?;
    let body = match is_uploads {
        true => uploads(cloud, bucket, &prefix, spelling),
        false => objects(cloud, bucket, &prefix, spelling),
    };
    Ok(Answer::xml(200, body))
}

/// How a listing writes keys.
#[derive(Clone, Copy)]
enum Spelling {
    Plain,
    Encoded,
}

impl Spelling {
    /// A tool takes keys as they are where it is not told that they are encoded.
    fn tell(self, xml: &mut Xml) {
        if let Self::Encoded = self {
            xml.text("EncodingType", "url");
        }
    }

    fn of(self, key: &str) -> String {
        match self {
            Self::Plain => key.to_owned(),
            Self::Encoded => {
                let text: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
                text.replace('+', "%20")
            }
        }
    }
}

fn uploads(cloud: &Cloud, bucket: &str, prefix: &str, spelling: Spelling) -> String {
    Xml::document("ListMultipartUploadsResult", NAMESPACE, |xml| {
        xml.text("Bucket", bucket);
        xml.text("IsTruncated", "false");
        spelling.tell(xml);
        let uploads = cloud
            .uploads
            .iter()
            .filter(|(_, upload)| upload.bucket == bucket && upload.key.starts_with(prefix));
        for (id, upload) in uploads {
            xml.with("Upload", |xml| {
                xml.text("Key", &spelling.of(&upload.key));
                xml.text("UploadId", id);
            });
        }
    })
}

fn objects(cloud: &Cloud, bucket: &str, prefix: &str, spelling: Spelling) -> String {
    Xml::document("ListBucketResult", NAMESPACE, |xml| {
        xml.text("Name", bucket);
        xml.text("Prefix", &spelling.of(prefix));
        xml.text("IsTruncated", "false");
        spelling.tell(xml);
        let objects = cloud
            .objects
            .iter()
            .filter(|((place, key), _)| place == bucket && key.starts_with(prefix));
        for ((_, key), object) in objects {
            xml.with("Contents", |xml| {
                xml.text("Key", &spelling.of(key));
                xml.text("Size", &object.bytes.to_string());
                xml.text("ETag", &object.etag);
                xml.text("LastModified", "2024-01-01T00:00:00.000Z");
                xml.text("StorageClass", "STANDARD");
            });
        }
    })
}

/// Keeps a body as a file, once its digest is the one that was signed.
fn keep(request: &mut Request, cloud: &mut Cloud) -> Result<Object, Refusal> {
    let signed = header(request, "x-amz-content-sha256").map(str::to_owned);
    let encoding = header(request, "content-encoding").unwrap_or_default();
    if encoding.contains("aws-chunked") {
        return Err(Refusal {
            status: 501,
            ..Refusal::new("NotImplemented", "Chunked signatures are not known here")
        });
    }
    let name = cloud.identifier("bytes");
    let kept = bytes::keep(request.as_reader(), cloud.dir.join(name))?;
    let digest: String = kept
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let is_signed = signed.is_some_and(|signed| signed == digest || signed == "UNSIGNED-PAYLOAD");
    if !is_signed {
        let _ = fs::remove_file(&kept.path);
        return Err(Refusal::new(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed",
        ));
    }
    let etag = digest.get(..32).unwrap_or_default().to_owned();
    Ok(Object {
        path: kept.path,
        bytes: kept.bytes,
        etag,
    })
}

/// Makes an object visible.
fn put(cloud: &mut Cloud, bucket: String, key: String, mut object: Object) -> Result<(), Refusal> {
    if cloud.fault == Some(Fault::ShortObject) {
        object.bytes = object.bytes.saturating_sub(1);
        let file = File::options().write(true).open(&object.path);
        file.and_then(|file| file.set_len(object.bytes))
            .map_err(broken)?;
    }
    if let Some(old) = cloud.objects.insert((bucket, key), object) {
        let _ = fs::remove_file(&old.path);
    }
    Ok(())
}

/// The parts that make an object: number and ETag.
fn wanted_parts(body: &[u8]) -> Result<Vec<(u32, String)>, Refusal> {
    let malformed = || Refusal::new("MalformedXML", "The list of parts is not well formed");
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text);
    let (mut parts, mut number, mut etag, mut told) = (Vec::new(), None, None, String::new());
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(_) => told.clear(),
            Event::Text(text) => told += &text.xml10_content(),
            Event::End(end) => match end.local_name().as_ref() {
                "PartNumber" => number = told.trim().parse::<u32>().ok(),
                "ETag" => etag = Some(told.replace("&quot;", "").replace('"', "")),
                "Part" => {
                    let part = number.take().zip(etag.take());
                    parts.push(part.ok_or_else(malformed)?);
                }
                _ => {}
            },
            Event::Eof => return Ok(parts),
            _ => {}
        }
    }
}

/// Puts the parts of an upload together, in the order that the tool tells.
fn complete(
    request: &mut Request,
    cloud: &mut Cloud,
    id: &str,
    bucket: String,
    key: String,
) -> Result<Answer, Refusal> {
    let wanted = wanted_parts(&body(request)?)?;
    let is_same = |upload: &&Upload| upload.bucket == bucket && upload.key == key;
    let upload = cloud.uploads.get(id).filter(is_same);
    let upload = upload.ok_or_else(|| missing("NoSuchUpload", id))?;
    let is_rising = wanted.is_sorted_by(|(one, _), (next, _)| one < next);
    let mut found = Vec::new();
    for (number, etag) in &wanted {
        let part = upload.parts.get(number).filter(|part| part.etag == *etag);
        found.push(part.ok_or_else(|| {
            Refusal::new("InvalidPart", format!("The part {number} was not found"))
        })?);
    }
    if found.is_empty() || !is_rising {
        return Err(Refusal::new(
            "InvalidPartOrder",
            "The parts are not in order",
        ));
    }
    let paths: Vec<&Path> = found.iter().map(|part| part.path.as_path()).collect();
    let whole = cloud.dir.join(format!("{id}-whole"));
    let bytes = join(&paths, &whole).map_err(broken)?;
    let etag = format!("{id}-{}", wanted.len());
    if let Some(upload) = cloud.uploads.remove(id) {
        for part in upload.parts.values() {
            let _ = fs::remove_file(&part.path);
        }
    }
    let object = Object {
        path: whole,
        bytes,
        etag: etag.clone(),
    };
    put(cloud, bucket.clone(), key.clone(), object)?;
    Ok(Answer::xml(
        200,
        Xml::document("CompleteMultipartUploadResult", NAMESPACE, |xml| {
            xml.text("Bucket", &bucket);
            xml.text("Key", &key);
            xml.text("ETag", &format!("\"{etag}\""));
        }),
    ))
}

fn join(parts: &[&Path], whole: &Path) -> std::io::Result<u64> {
    let mut file = File::create_new(whole)?;
    let mut bytes = 0;
    for part in parts {
        bytes += std::io::copy(&mut File::open(part)?, &mut file)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decoded, wanted_parts};

    #[test]
    fn parts_are_read_or_refused() {
        let good = b"<C xmlns=\"x\"><Part><ETag>\"a\"</ETag><PartNumber>1</PartNumber></Part>\
            <Part><PartNumber>2</PartNumber><ETag>b</ETag></Part></C>";
        let parts = wanted_parts(good).map_err(|refusal| refusal.code);
        assert_eq!(parts, Ok(vec![(1, "a".into()), (2, "b".into())]));
        assert!(wanted_parts(b"<C><Part><ETag>a</ETag></Part></C>").is_err());
        assert!(wanted_parts(b"<C><Part></C>").is_err());
        assert!(wanted_parts(b"\xff").is_err());
    }

    #[test]
    fn a_plus_sign_in_a_path_stays_one() {
        assert_eq!(decoded("a+b%20c"), "a+b c");
    }
}

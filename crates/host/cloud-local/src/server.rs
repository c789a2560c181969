//! The listener: who asks, for which service, and the answer.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use tiny_http::{Header, Request, Response, StatusCode};

use crate::fault::Fault;
use crate::params::{Params, Refusal};
use crate::state::Cloud;
use crate::xml::Xml;
use crate::{KEY, Machines, REGION, TOKEN, ec2, gce, s3};

/// How the cloud is made.
pub struct Setup {
    /// Who boots guests.
    pub machines: Box<dyn Machines>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Where it listens; with port 0 the system chooses one.
    pub address: SocketAddr,
    /// Where everything uploaded is kept until the end.
    pub folder: std::path::PathBuf,
}

/// A cloud that runs until this is dropped, and its guests as long.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the address is not on the loopback interface or is taken, or the folder cannot be made.
    pub fn start(setup: Setup) -> Result<Self> {
        anyhow::ensure!(
            setup.address.ip().is_loopback(),
            "{} is not an address of this machine alone",
            setup.address
        );
        std::fs::create_dir_all(&setup.folder)?;
        let folder = tempfile::tempdir_in(&setup.folder).context("no folder for the cloud")?;
        let listener = tiny_http::Server::http(setup.address)
            .map_err(|error| anyhow!("cannot listen on {}: {error}", setup.address))?;
        let address = listener
            .server_addr()
            .to_ip()
            .context("the server has no address")?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        // One request after the other. A guest ends with the thread that started it, where the caller's guests do.
        let worker = std::thread::Builder::new()
            .name("cloud".into())
            .spawn(move || {
                let cloud = Cloud::new(folder.path().to_owned(), setup.machines, setup.fault);
                serve(&listener, cloud, &seen);
                drop::<TempDir>(folder);
            })?;
        Ok(Self {
            address,
            stop,
            worker: Some(worker),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(listener: &tiny_http::Server, mut cloud: Cloud, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.recv_timeout(Duration::from_millis(50)) {
            Ok(Some(request)) => handle(request, &mut cloud),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// An answer before it is sent.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
    /// The length that is told where the body is not sent.
    pub told_bytes: Option<u64>,
}

impl Answer {
    /// A document in XML.
    pub fn xml(status: u16, body: String) -> Self {
        Self {
            status,
            body: body.into_bytes(),
            headers: vec![("Content-Type", "text/xml".into())],
            told_bytes: None,
        }
    }

    /// Nothing but its headers.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            body: Vec::new(),
            headers: Vec::new(),
            told_bytes: None,
        }
    }
}

/// The value of a header.
pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut headers = request.headers().iter();
    headers
        .find(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name))
        .map(|header| header.value.as_str())
}

/// The longest body that is no object.
const BODY_BYTES: u64 = 1 << 20;

/// All of a body that is no object.
pub fn body(request: &mut Request) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let read = request
        .as_reader()
        .take(BODY_BYTES + 1)
        .read_to_end(&mut body);
    if read.is_err() || body.len() as u64 > BODY_BYTES {
        return Err(Refusal::new("MalformedRequest", "The body is too long"));
    }
    Ok(body)
}

fn handle(mut request: Request, cloud: &mut Cloud) {
    cloud.look();
    let is_query = request.url() == "/" && *request.method() == tiny_http::Method::Post;
    let answer = match is_query {
        true => query(&mut request, cloud),
        false if gce::is_for(request.url()) => gce::handle(&mut request, cloud),
        false => check(&request, cloud)
            .and_then(|()| s3::handle(&mut request, cloud))
            .unwrap_or_else(|refusal| s3::refused(&refusal)),
    };
    let told = answer.told_bytes.unwrap_or(answer.body.len() as u64);
    let headers = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Header::from_bytes(*name, value.as_bytes()).ok())
        .collect();
    let response = Response::new(
        StatusCode(answer.status),
        headers,
        answer.body.as_slice(),
        usize::try_from(told).ok(),
        None,
    );
    // A tool that has gone hears nothing.
    let _ = request.respond(response.with_chunked_threshold(usize::MAX));
}

/// Whether whoever asks holds the key and the session's token.
fn check(request: &Request, cloud: &Cloud) -> Result<(), Refusal> {
    let refuse = |code, message: &str| {
        Err(Refusal {
            status: 403,
            ..Refusal::new(code, message)
        })
    };
    let authorization = header(request, "authorization").unwrap_or_default();
    let scope = authorization
        .strip_prefix("AWS4-HMAC-SHA256 Credential=")
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_default();
    let mut scope = scope.split('/');
    if scope.next() != Some(KEY) {
        return refuse("AuthFailure", "The access key is not known here");
    }
    if scope.nth(1) != Some(REGION) {
        return refuse("AuthFailure", "The credential is for another region");
    }
    if header(request, "x-amz-date").is_none() {
        return refuse("AuthFailure", "The request has no date");
    }
    if header(request, "x-amz-security-token") != Some(TOKEN) {
        return refuse("InvalidClientTokenId", "The security token is invalid");
    }
    if cloud.is_expired {
        return refuse(
            "ExpiredToken",
            "The security token included in the request is expired",
        );
    }
    Ok(())
}

/// Requests in the query form: EC2 and STS.
fn query(request: &mut Request, cloud: &mut Cloud) -> Answer {
    let answered = check(request, cloud).and_then(|()| {
        let params = Params::read(&body(request)?);
        let action = params.need("Action")?.to_owned();
        match params.need("Version")? {
            "2011-06-15" => identity(&action, &params),
            "2016-11-15" => ec2::handle(&action, &params, cloud),
            other => Err(Refusal::new(
                "InvalidAction",
                format!("The version {other} of an interface is not known here"),
            )),
        }
    });
    match answered {
        Ok(body) => Answer::xml(200, body),
        Err(refusal) => Answer::xml(
            refusal.status,
            format!(
                "<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors><RequestID>local</RequestID></Response>",
                refusal.code,
                quick_xml::escape::escape(&refusal.message)
            ),
        ),
    }
}

/// STS: who asks.
fn identity(action: &str, params: &Params) -> Result<String, Refusal> {
    params.finish()?;
    if action != "GetCallerIdentity" {
        return Err(Refusal::new(
            "InvalidAction",
            format!("The action {action} is not known here"),
        ));
    }
    Ok(Xml::document(
        "GetCallerIdentityResponse",
        "https://sts.amazonaws.com/doc/2011-06-15/",
        |xml| {
            xml.with("GetCallerIdentityResult", |xml| {
                xml.text("Arn", "arn:aws:sts::000000000000:assumed-role/capos/local");
                xml.text("UserId", "AROALOCAL:local");
                xml.text("Account", ec2::ACCOUNT);
            });
            xml.with("ResponseMetadata", |xml| xml.text("RequestId", "local"));
        },
    ))
}

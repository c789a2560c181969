//! What `gcloud` 528 sends, as it was seen on the wire, to the cloud on this machine; and the same with one thing changed.
//!
//! The tool itself is in `cloud-launch`'s tests, where it is installed.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use cloud_local::{Guest, Machines, Server, Setup, Shape, TOKEN};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

struct Nobody;

impl Guest for Nobody {
    fn is_running(&mut self) -> bool {
        true
    }
}

struct Stand;

impl Machines for Stand {
    fn boot(&self, _: &Path, _: &Shape, _: &Path, mut serial: File) -> Result<Box<dyn Guest>> {
        serial.write_all(b"hello\n")?;
        Ok(Box::new(Nobody))
    }
}

struct Rig {
    _folder: tempfile::TempDir,
    server: Server,
    package: Vec<u8>,
}

fn rig() -> Result<Rig> {
    let folder = tempfile::tempdir()?;
    File::create(folder.path().join("disk.raw"))?.set_len(1 << 30)?;
    let package = folder.path().join("disk.tar.gz");
    let status = Command::new("tar")
        .args([
            "--create", "--gzip", "--sparse", "--format", "oldgnu", "--file",
        ])
        .arg(&package)
        .arg("--directory")
        .arg(folder.path())
        .arg("disk.raw")
        .status()?;
    ensure!(status.success(), "tar: {status}");
    let server = Server::start(Setup {
        machines: Box::new(Stand),
        fault: None,
        address: "127.0.0.1:0".parse()?,
        folder: folder.path().join("cloud"),
    })?;
    let package = std::fs::read(package)?;
    Ok(Rig {
        _folder: folder,
        server,
        package,
    })
}

impl Rig {
    /// Sends one request: the status and the body of the answer, and where it leads.
    fn ask(
        &self,
        (method, path): (&str, &str),
        range: &str,
        body: &[u8],
    ) -> Result<(u16, Value, String)> {
        let url = self.server.url();
        let path = path.strip_prefix(&url).unwrap_or(path);
        let config = Agent::config_builder().http_status_as_error(false);
        let agent: Agent = config.build().into();
        let request = Request::builder()
            .method(method)
            .uri(format!("{url}{path}"))
            .header("Authorization", format!("Bearer {TOKEN}"))
            .header("Content-Range", range);
        let mut answer = match method {
            "POST" | "PUT" => agent.run(request.body(body.to_vec())?)?,
            _ => agent.run(request.body(())?)?,
        };
        let text = answer.body_mut().read_to_string()?;
        let place = answer.headers().get("Location");
        let place = place.and_then(|place| place.to_str().ok());
        let told = serde_json::from_str(&text).unwrap_or(Value::Null);
        let place = place.unwrap_or_default().to_owned();
        Ok((answer.status().as_u16(), told, place))
    }

    fn post(&self, place: &str, body: &Value) -> Result<(u16, Value)> {
        let path = format!("/compute/v1/projects/capos-local/{place}?alt=json");
        let (status, told, _) = self.ask(("POST", &path), "", body.to_string().as_bytes())?;
        Ok((status, told))
    }

    fn status(&self, method: &str, path: &str) -> Result<u16> {
        self.ask((method, path), "", &[]).map(|(status, ..)| status)
    }

    /// A link as the tool writes it.
    fn link(&self, place: &str) -> String {
        format!(
            "{}/compute/v1/projects/capos-local/{place}",
            self.server.url()
        )
    }

    /// Announces the package and sends it, or a part of it.
    fn upload(&self, range: &str) -> Result<u16> {
        let announced = json!({
            "bucket": "capos-local",
            "contentType": "application/x-tar",
            "name": "capos-cloudboot/r/disk.tar.gz",
        });
        let path = "/resumable/upload/storage/v1/b/capos-local/o?alt=json&uploadType=resumable";
        let announced = announced.to_string();
        let (_, _, place) = self.ask(("POST", path), "", announced.as_bytes())?;
        let (status, ..) = self.ask(("PUT", &place), range, &self.package)?;
        Ok(status)
    }

    /// Everything that a launch makes, in its order: where, and what the tool sends.
    fn orders(&self) -> Vec<(&'static str, Value)> {
        let name = "capos-cloudboot-r";
        let network = self.link(&format!("global/networks/{name}"));
        let zone = |what: &str| self.link(&format!("zones/us-central1-a/{what}"));
        let source = format!(
            "{}/storage/v1/b/capos-local/o/capos-cloudboot/r/disk.tar.gz",
            self.server.url()
        );
        vec![
            (
                "global/images",
                json!({"architecture": "X86_64", "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}], "labels": {"capos-cloudboot": "r"},
                    "name": name, "rawDisk": {"source": source}, "sourceType": "RAW"}),
            ),
            (
                "global/networks",
                json!({"autoCreateSubnetworks": false, "name": name, "routingConfig": {"routingMode": "REGIONAL"}}),
            ),
            (
                "regions/us-central1/subnetworks",
                json!({"ipCidrRange": "10.0.0.0/28", "name": name, "network": network, "privateIpGoogleAccess": false}),
            ),
            (
                "global/firewalls",
                json!({"denied": [{"IPProtocol": "all"}], "direction": "EGRESS", "name": name, "network": network, "priority": 0}),
            ),
            (
                "zones/us-central1-a/instances",
                json!({"canIpForward": false, "deletionProtection": false,
                    "disks": [{"autoDelete": true, "boot": true, "mode": "READ_WRITE", "type": "PERSISTENT", "initializeParams": {
                        "diskSizeGb": "10", "diskType": zone("diskTypes/pd-standard"), "sourceImage": self.link(&format!("global/images/{name}"))}}],
                    "labels": {"capos-cloudboot": "r"}, "machineType": zone("machineTypes/e2-small"), "metadata": {}, "name": name,
                    "networkInterfaces": [{"nicType": "VIRTIO_NET", "stackType": "IPV4_ONLY",
                        "subnetwork": self.link(&format!("regions/us-central1/subnetworks/{name}"))}],
                    "scheduling": {"automaticRestart": false, "instanceTerminationAction": "DELETE", "maxRunDuration": {"seconds": "2"},
                        "onHostMaintenance": "TERMINATE"},
                    "shieldedInstanceConfig": {"enableIntegrityMonitoring": false, "enableSecureBoot": false, "enableVtpm": false}}),
            ),
        ]
    }
}

fn is_done(told: &Value) -> bool {
    told["status"] == "DONE" && told["error"].is_null()
}

#[test]
fn what_the_tool_sends_is_understood_and_one_field_more_is_not() -> Result<()> {
    let rig = rig()?;
    let bytes = rig.package.len();
    assert_eq!(
        rig.upload(&format!("bytes 0-{}/{}", bytes - 2, bytes))?,
        400
    );
    assert_eq!(rig.upload(&format!("bytes 0-{}/{bytes}", bytes - 1))?, 200);
    for (place, order) in rig.orders() {
        let mut more = order.clone();
        more["enableEverything"] = true.into();
        let (status, told) = rig.post(place, &more)?;
        assert_eq!(status, 400, "{place}: {told}");
        let (status, told) = rig.post(place, &order)?;
        assert!(status == 200 && is_done(&told), "{place}: {told}");
        // A name is taken once.
        assert_eq!(rig.post(place, &order)?.0, 409, "{place}");
    }
    Ok(())
}

#[test]
fn what_another_uses_stays_and_an_instance_goes_when_its_time_is_over() -> Result<()> {
    let rig = rig()?;
    let bytes = rig.package.len();
    rig.upload(&format!("bytes 0-{}/{bytes}", bytes - 1))?;
    for (place, order) in rig.orders() {
        let (status, told) = rig.post(place, &order)?;
        assert!(status == 200 && is_done(&told), "{place}: {told}");
    }
    let path = |place: &str| {
        format!("/compute/v1/projects/capos-local/{place}/capos-cloudboot-r?alt=json")
    };
    let held = [
        "global/networks",
        "regions/us-central1/subnetworks",
        "zones/us-central1-a/disks",
    ];
    for place in held {
        assert_eq!(rig.status("DELETE", &path(place))?, 400, "{place}");
    }
    let instance = path("zones/us-central1-a/instances");
    assert_eq!(rig.status("GET", &instance)?, 200);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(rig.status("GET", &instance)?, 404);
    // Its disk went with it.
    assert_eq!(rig.status("GET", &path(held[2]))?, 404);
    for place in ["global/firewalls", held[1], held[0], "global/images"] {
        assert_eq!(rig.status("DELETE", &path(place))?, 200, "{place}");
        assert_eq!(rig.status("DELETE", &path(place))?, 404, "{place}");
    }
    Ok(())
}

#[test]
fn what_nobody_has_and_what_is_not_known_is_refused() -> Result<()> {
    let rig = rig()?;
    // Each before what it stands on.
    for (place, order) in rig.orders().into_iter().rev() {
        let is_first = place == "global/networks";
        let (status, told) = rig.post(place, &order)?;
        assert_eq!(status == 200, is_first, "{place}: {told}");
    }
    let (place, mut order) = rig.orders().swap_remove(1);
    order["name"] = "Another".into();
    assert_eq!(rig.post(place, &order)?.0, 400);
    for (path, status) in [
        ("/compute/v1/projects/other?alt=json", 404),
        ("/compute/v1/projects/capos-local?alt=json", 200),
        ("/compute/v1/projects/capos-local?alt=json&more=1", 400),
        (
            "/compute/v1/projects/capos-local/zones/europe-west1-b?alt=json",
            404,
        ),
        (
            "/compute/v1/projects/capos-local/global/images?alt=json&filter=x",
            400,
        ),
        ("/storage/v1/b/other/o?alt=json", 404),
        ("/storage/v1/b/capos-local/o/x?alt=json", 404),
    ] {
        assert_eq!(rig.status("GET", path)?, status, "{path}");
    }
    Ok(())
}

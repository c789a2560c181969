//! Instances, with their boot disks and serial logs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Made;
use super::things::{Kind, Running, Thing};
use crate::bytes::broken;
use crate::fault::{Fault, Field};
use crate::params::{Params, Refusal};
use crate::state::Cloud;
use crate::{Bus, Nic, Shape, ZONE};

/// What a project may run at once.
const QUOTA: usize = 2;
/// Of a serial log the provider keeps this many bytes at the end ("View serial port output").
const CONSOLE_BYTES: usize = 1 << 20;
/// An address that documentation uses.
const PUBLIC: &str = "203.0.113.7";
/// The families whose boot disk is at a SCSI adapter and whose interface may be virtio's ("General-purpose machine family").
const FAMILIES: [&str; 3] = ["e2", "n1", "n2"];
/// The least of such a disk.
const LEAST_GIB: u64 = 10;

/// What is asked for.
struct Order {
    image: String,
    kind: String,
    gib: u64,
    most: Option<Duration>,
}

fn invalid(field: &str, value: &str) -> Refusal {
    Refusal::new(
        "invalid",
        format!("Invalid value for field 'resource.{field}': '{value}'"),
    )
}

/// The last part of a link into a collection of the zone.
fn of_zone<'a>(link: &'a str, collection: &str) -> Result<&'a str, Refusal> {
    let place = format!("/zones/{ZONE}/{collection}/");
    let end = link.split_once(&place).map(|(_, name)| name);
    end.ok_or_else(|| super::missing(link))
}

fn order(params: &Params, cloud: &Cloud) -> Result<Order, Refusal> {
    params.only("canIpForward", "false")?;
    params.only("deletionProtection", "false")?;
    params.under("labels.");
    params.under("metadata.");
    params.under("serviceAccounts.");
    params.under("shieldedInstanceConfig.");
    let kind = of_zone(params.need("machineType")?, "machineTypes")?.to_owned();
    let family = kind.split('-').next().unwrap_or_default();
    if !FAMILIES.contains(&family) {
        return Err(super::missing(&format!("machineTypes/{kind}")));
    }
    let nic = "networkInterfaces.1.";
    cloud
        .google
        .referred(Kind::Subnet, params.need(&format!("{nic}subnetwork"))?)?;
    params.only(&format!("{nic}stackType"), "IPV4_ONLY")?;
    params.only(&format!("{nic}nicType"), "VIRTIO_NET")?;
    params.need(&format!("{nic}nicType"))?;
    params.under(&format!("{nic}accessConfigs."));
    let (image, gib) = disk(params, cloud)?;
    let most = scheduling(params)?;
    params.finish()?;
    Ok(Order {
        image,
        kind,
        gib,
        most,
    })
}

fn disk(params: &Params, cloud: &Cloud) -> Result<(String, u64), Refusal> {
    let disk = "disks.1.";
    params.only(&format!("{disk}boot"), "true")?;
    params.only(&format!("{disk}mode"), "READ_WRITE")?;
    params.only(&format!("{disk}type"), "PERSISTENT")?;
    params.get(&format!("{disk}autoDelete"));
    let new = format!("{disk}initializeParams.");
    params.under(&format!("{new}labels."));
    let kind = of_zone(params.need(&format!("{new}diskType"))?, "diskTypes")?;
    if !kind.starts_with("pd-") {
        return Err(invalid("disks[0].initializeParams.diskType", kind));
    }
    let image = cloud
        .google
        .referred(Kind::Image, params.need(&format!("{new}sourceImage"))?)?;
    let told = params.need(&format!("{new}diskSizeGb"))?;
    let gib = told
        .parse()
        .ok()
        .filter(|gib| (LEAST_GIB..=64).contains(gib));
    let gib = gib.ok_or_else(|| invalid("disks[0].initializeParams.diskSizeGb", told))?;
    Ok((image, gib))
}

/// How long it may run.
fn scheduling(params: &Params) -> Result<Option<Duration>, Refusal> {
    params.only("scheduling.automaticRestart", "false")?;
    params.only("scheduling.onHostMaintenance", "TERMINATE")?;
    params.only("scheduling.provisioningModel", "STANDARD")?;
    params.only("scheduling.instanceTerminationAction", "DELETE")?;
    let most = params.get("scheduling.maxRunDuration.seconds");
    let action = params.get("scheduling.instanceTerminationAction");
    match most {
        Some(_) if action.is_none() => Err(invalid("scheduling.instanceTerminationAction", "")),
        Some(most) => match most.parse() {
            // The shortest time that can be asked for is 30 seconds; tests of this server have none.
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
            Err(_) => Err(invalid("scheduling.maxRunDuration.seconds", most)),
        },
        None => Ok(None),
    }
}

/// A new one: boots a copy of the image, as large as the disk that was asked for.
pub fn insert(name: &str, params: &Params, cloud: &mut Cloud) -> Result<Made, Refusal> {
    let order = order(params, cloud)?;
    let quota = match cloud.fault {
        Some(Fault::Quota) => 0,
        _ => QUOTA,
    };
    if cloud.google.running.len() >= quota {
        let why = format!("Quota 'INSTANCES' exceeded.  Limit: {quota}.0 in region us-central1.");
        return Ok(Made::Failed("QUOTA_EXCEEDED", why));
    }
    let image = cloud.google.get(Kind::Image, &order.image)?;
    if image["status"] != "READY" {
        return Err(Refusal::new("resourceNotReady", "The image is not ready"));
    }
    let (link, features) = (image["selfLink"].clone(), image["guestOsFeatures"].clone());
    let features = features.as_array().cloned().unwrap_or_default();
    let shape = Shape {
        kind: order.kind.clone(),
        is_uefi: features.contains(&json!({"type": "UEFI_COMPATIBLE"})),
        bus: Bus::Scsi,
        nic: Some(Nic::LegacyVirtio),
    };
    let (disk, running) =
        boot(name, &order, &shape, cloud).map_err(|error| broken(format!("{error:#}")))?;
    cloud.google.running.insert(name.to_owned(), running);
    let told = json!({
        "name": name,
        "sourceImage": link,
        "sizeGb": order.gib.to_string(),
        "status": "READY",
        "labels": params_labels(params),
    });
    let file = Some(disk);
    let thing = Thing { told, file };
    cloud.google.put(Kind::Disk, name, &Value::Null, thing);
    let told = instance(name, params, cloud)?;
    Ok(Made::Done(Thing { told, file: None }))
}

/// The labels of an instance's disk.
fn params_labels(params: &Params) -> Value {
    json!(params.under("disks.1.initializeParams.labels."))
}

/// What the provider adds to what was asked for.
fn instance(name: &str, params: &Params, cloud: &Cloud) -> Result<Value, Refusal> {
    let google = &cloud.google;
    let subnet = params.need("networkInterfaces.1.subnetwork")?;
    let named = google.referred(Kind::Subnet, subnet)?;
    let network = google.get(Kind::Subnet, &named)?["network"].clone();
    let mut interface = json!({
        "name": "nic0",
        "network": network,
        "subnetwork": subnet,
        "networkIP": "10.0.0.2",
        "nicType": "VIRTIO_NET",
        "stackType": "IPV4_ONLY",
    });
    if !params
        .under("networkInterfaces.1.accessConfigs.")
        .is_empty()
    {
        interface["accessConfigs"] = public();
    }
    let goes = params.get("disks.1.autoDelete") == Some("true");
    Ok(json!({
        "status": "RUNNING",
        "networkInterfaces": [interface],
        "disks": [{
            "autoDelete": goes,
            "boot": true,
            "index": 0,
            "deviceName": "persistent-disk-0",
            "interface": "SCSI",
            "mode": "READ_WRITE",
            "type": "PERSISTENT",
            "diskSizeGb": params.need("disks.1.initializeParams.diskSizeGb")?,
            "source": google.link(&google.path(Kind::Disk, name)),
        }],
    }))
}

fn public() -> Value {
    json!([{"name": "external-nat", "type": "ONE_TO_ONE_NAT", "natIP": PUBLIC}])
}

fn boot(
    name: &str,
    order: &Order,
    shape: &Shape,
    cloud: &mut Cloud,
) -> anyhow::Result<(PathBuf, Running)> {
    let id = cloud.identifier(name);
    let work = cloud.dir.join(id);
    fs::create_dir_all(&work)?;
    let image = cloud.google.file(Kind::Image, &order.image);
    let disk = work.join("disk");
    copy(image.context("the image has no bytes")?, &disk)?;
    let file = File::options().write(true).open(&disk)?;
    file.set_len(order.gib << 30)?;
    let serial = work.join("serial");
    let guest = cloud
        .machines
        .boot(&disk, shape, &work, File::create_new(&serial)?)?;
    let running = Running {
        guest: Some(guest),
        serial,
        started: Instant::now(),
        most: order.most,
    };
    Ok((disk, running))
}

/// Copies a disk without what is empty in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp")
        .arg("--sparse=always")
        .args([from, to])
        .status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

/// The serial log from a byte on.
pub fn serial(query: &Params, cloud: &Cloud, name: &str) -> Result<Value, Refusal> {
    query.only("port", "1")?;
    let start = query.get("start").unwrap_or("0");
    let start: usize = start.parse().map_err(|_| invalid("start", start))?;
    query.finish()?;
    cloud.google.get(Kind::Instance, name)?;
    let running = cloud.google.running.get(name);
    let log = running.and_then(|running| fs::read(&running.serial).ok());
    let mut log = log.unwrap_or_default();
    if let Some(Fault::CutSerial(bytes)) = cloud.fault {
        log.truncate(bytes);
    }
    let start = start
        .max(log.len().saturating_sub(CONSOLE_BYTES))
        .min(log.len());
    let shown = log.get(start..).unwrap_or_default();
    Ok(json!({
        "kind": "compute#serialPortOutput",
        "contents": String::from_utf8_lossy(shown),
        "start": start.to_string(),
        "next": log.len().to_string(),
    }))
}

/// Makes of an instance what nobody asked for, where that is the fault.
pub fn spoil(cloud: &mut Cloud, name: &str) {
    if cloud.fault == Some(Fault::ExpiredToken) {
        cloud.is_expired = true;
    }
    let Some(Fault::Policy(field)) = cloud.fault else {
        return;
    };
    let google = &mut cloud.google;
    let network = google.link(&format!("projects/{}/global/networks", crate::PROJECT));
    let own = google
        .get(Kind::Instance, name)
        .map(|told| told["networkInterfaces"][0]["network"].clone());
    if field == Field::Ingress {
        let rule = json!({
            "name": "default-allow-all",
            "network": own.unwrap_or_default(),
            "direction": "INGRESS",
            "priority": 1000,
            "allowed": [{"IPProtocol": "all"}],
            "sourceRanges": ["0.0.0.0/0"],
        });
        google.put(Kind::Firewall, "default-allow-all", &rule, Thing::default());
        return;
    }
    if field == Field::Image {
        if let Some(disk) = google.get_mut(Kind::Disk, name) {
            disk["sourceImage"] = "projects/other/global/images/other".into();
        }
        return;
    }
    let Some(told) = google.get_mut(Kind::Instance, name) else {
        return;
    };
    match field {
        Field::PublicAddress => told["networkInterfaces"][0]["accessConfigs"] = public(),
        Field::Profile => {
            told["serviceAccounts"] =
                json!([{"email": "1-compute@developer.gserviceaccount.com", "scopes": []}]);
        }
        Field::Kind => told["machineType"] = "machineTypes/m3-ultramem-128".into(),
        Field::Metadata => {
            told["metadata"]["items"] = json!([{"key": "serial-port-enable", "value": "true"}]);
        }
        Field::Group => {
            told["networkInterfaces"][0]["network"] = format!("{network}/default").into();
        }
        Field::KeptDisk => told["disks"][0]["autoDelete"] = false.into(),
        Field::Endless => told["scheduling"] = json!({"automaticRestart": false}),
        Field::Image | Field::Ingress => {}
    }
}

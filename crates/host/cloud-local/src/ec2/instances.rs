//! Instances, with their disks, interfaces and serial logs.

use std::fs::{self, File};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ec2::{ACCOUNT, Body, Filters, answer, done, no_field, tags_for, tell_tags, unknown};
use crate::fault::{Fault, Field};
use crate::params::{Params, Refusal};
use crate::state::{Cloud, Instance, Life, Tags, Volume};
use crate::xml::Xml;
use crate::{Bus, Guest, Shape};

/// What an account may run at once.
const QUOTA: usize = 2;
/// Of a serial log the provider keeps this many bytes at the end ("Instance console output").
const CONSOLE_BYTES: usize = 64 * 1024;
/// An address that documentation uses.
const PUBLIC: &str = "203.0.113.7";

/// What is asked for.
struct Order {
    image: String,
    kind: String,
    group: String,
    metadata: String,
    is_public: bool,
    token: Option<String>,
    tags: std::collections::BTreeMap<&'static str, Tags>,
}

fn order(params: &Params) -> Result<Order, Refusal> {
    params.only("MinCount", "1")?;
    params.only("MaxCount", "1")?;
    params.only("InstanceInitiatedShutdownBehavior", "terminate")?;
    let nic = "NetworkInterface.1.";
    params.only(&format!("{nic}DeviceIndex"), "0")?;
    params.only(&format!("{nic}DeleteOnTermination"), "true")?;
    // Subnets give public addresses unless told otherwise.
    let public = params.get(&format!("{nic}AssociatePublicIpAddress"));
    let order = Order {
        image: params.need("ImageId")?.to_owned(),
        kind: params.need("InstanceType")?.to_owned(),
        group: params.need(&format!("{nic}SecurityGroupId.1"))?.to_owned(),
        metadata: params
            .get("MetadataOptions.HttpEndpoint")
            .unwrap_or("enabled")
            .to_owned(),
        is_public: public != Some("false"),
        token: params.get("ClientToken").map(str::to_owned),
        tags: tags_for(params, &["instance", "volume", "network-interface"])?,
    };
    params.finish()?;
    Ok(order)
}

/// What an instance gets from its image.
struct Plan {
    disk: PathBuf,
    gib: u64,
    boot_mode: String,
    root_device: String,
    has_ena: bool,
    keeps_disk: bool,
}

/// Whether the order can be carried out, and of what.
fn plan(order: &Order, cloud: &Cloud) -> Result<Plan, Refusal> {
    let image = cloud.images.get(&order.image);
    let image = image.ok_or_else(|| unknown("InvalidAMIID.NotFound", &order.image))?;
    if !cloud.groups.contains_key(&order.group) {
        return Err(unknown("InvalidGroup.NotFound", &order.group));
    }
    let quota = match cloud.fault {
        Some(Fault::Quota) => 0,
        _ => QUOTA,
    };
    let running = |instance: &&Instance| instance.life == Life::Running;
    if cloud.instances.values().filter(running).count() >= quota {
        return Err(Refusal::new(
            "VcpuLimitExceeded",
            format!(
                "You have requested more vCPU capacity than your current vCPU limit of {} allows for the instance bucket \
                 that the specified instance type belongs to.",
                quota * 2
            ),
        ));
    }
    let snapshot = cloud.snapshots.get(&image.snapshot);
    let snapshot = snapshot.ok_or_else(|| unknown("InvalidSnapshot.NotFound", &image.snapshot))?;
    Ok(Plan {
        disk: snapshot.disk.clone(),
        gib: snapshot.gib,
        boot_mode: image.boot_mode.clone(),
        root_device: image.root_device.clone(),
        has_ena: image.has_ena,
        keeps_disk: image.keeps_disk,
    })
}

/// Boots it: where its serial log is, and itself.
fn boot(
    order: &Order,
    plan: &Plan,
    cloud: &Cloud,
    id: &str,
) -> anyhow::Result<(PathBuf, Box<dyn Guest>)> {
    let work = cloud.dir.join(id);
    fs::create_dir_all(&work)?;
    let serial = work.join("serial");
    let shape = Shape {
        kind: order.kind.clone(),
        is_uefi: plan.boot_mode.starts_with("uefi"),
        bus: Bus::Nvme,
        nic: None,
    };
    let file = File::create_new(&serial)?;
    let guest = cloud.machines.boot(&plan.disk, &shape, &work, file)?;
    Ok((serial, guest))
}

/// `RunInstances`: boots the image's disk.
pub fn run(params: &Params, cloud: &mut Cloud) -> Body {
    let mut order = order(params)?;
    let same =
        |(_, known): &(&String, &Instance)| order.token.is_some() && known.token == order.token;
    if let Some((id, instance)) = cloud.instances.iter().find(same) {
        return Ok(answer(|xml| tell_reservation(xml, [(id, instance)])));
    }
    let plan = plan(&order, cloud)?;
    let id = cloud.identifier("i");
    let (serial, guest) = boot(&order, &plan, cloud, &id).map_err(|error| Refusal {
        status: 500,
        ..Refusal::new("InternalError", format!("{error:#}"))
    })?;
    let instance = Instance {
        life: Life::Running,
        image: order.image,
        kind: order.kind,
        boot_mode: plan.boot_mode,
        has_ena: plan.has_ena,
        metadata: order.metadata,
        group: order.group,
        public_address: order.is_public.then(|| PUBLIC.to_owned()),
        profile: None,
        root_device: plan.root_device,
        volume: Volume {
            id: cloud.identifier("vol"),
            gib: plan.gib,
            ends_with_instance: !plan.keeps_disk,
            is_there: true,
            tags: order.tags.remove("volume").unwrap_or_default(),
        },
        interface: cloud.identifier("eni"),
        interface_tags: order.tags.remove("network-interface").unwrap_or_default(),
        serial,
        guest: Some(guest),
        token: order.token,
        tags: order.tags.remove("instance").unwrap_or_default(),
    };
    cloud.instances.insert(id.clone(), instance);
    spoil(cloud, &id);
    let started = cloud.instances.iter().filter(|(known, _)| **known == id);
    Ok(answer(|xml| tell_reservation(xml, started)))
}

/// Makes of an instance what nobody asked for, where that is the fault.
fn spoil(cloud: &mut Cloud, id: &str) {
    if cloud.fault == Some(Fault::ExpiredToken) {
        cloud.is_expired = true;
    }
    let Some(Fault::Policy(field)) = cloud.fault else {
        return;
    };
    let Some(instance) = cloud.instances.get_mut(id) else {
        return;
    };
    match field {
        Field::PublicAddress => instance.public_address = Some(PUBLIC.to_owned()),
        Field::Profile => instance.profile = Some("arn:aws:iam::0:instance-profile/other".into()),
        Field::Kind => instance.kind = "u-24tb1.metal".to_owned(),
        Field::Metadata => instance.metadata = "enabled".to_owned(),
        Field::Group => instance.group = "sg-default".to_owned(),
        Field::Image => instance.image = "ami-other".to_owned(),
        Field::KeptDisk => instance.volume.ends_with_instance = false,
        // Google's alone.
        Field::Endless => {}
        Field::Ingress => {
            let group = cloud.groups.get_mut(&instance.group);
            if let Some(group) = group {
                group.ingress.push("0.0.0.0/0".to_owned());
            }
        }
    }
}

fn tell_reservation<'a>(
    xml: &mut Xml,
    instances: impl IntoIterator<Item = (&'a String, &'a Instance)>,
) {
    xml.text("reservationId", "r-local");
    xml.text("ownerId", ACCOUNT);
    xml.list("instancesSet", instances, |xml, (id, instance)| {
        tell(xml, id, instance);
    });
}

fn tell_state(xml: &mut Xml, name: &str, life: Life) {
    let (code, word) = match life {
        Life::Running => ("16", "running"),
        Life::Terminated => ("48", "terminated"),
    };
    xml.with(name, |xml| {
        xml.text("code", code);
        xml.text("name", word);
    });
}

fn tell(xml: &mut Xml, id: &str, instance: &Instance) {
    xml.text("instanceId", id);
    xml.text("imageId", &instance.image);
    tell_state(xml, "instanceState", instance.life);
    xml.text("instanceType", &instance.kind);
    xml.text("architecture", "x86_64");
    xml.text("virtualizationType", "hvm");
    xml.text("bootMode", &instance.boot_mode);
    xml.text("currentInstanceBootMode", &instance.boot_mode);
    xml.text("enaSupport", &instance.has_ena.to_string());
    xml.text("rootDeviceName", &instance.root_device);
    xml.text("rootDeviceType", "ebs");
    xml.with("metadataOptions", |xml| {
        xml.text("state", "applied");
        xml.text("httpEndpoint", &instance.metadata);
        xml.text("httpTokens", "required");
    });
    tell_tags(xml, &instance.tags);
    if instance.life == Life::Terminated {
        return;
    }
    xml.text("privateIpAddress", "172.31.0.10");
    if let Some(address) = &instance.public_address {
        xml.text("ipAddress", address);
    }
    if let Some(profile) = &instance.profile {
        xml.with("iamInstanceProfile", |xml| {
            xml.text("arn", profile);
            xml.text("id", "AIPALOCAL");
        });
    }
    xml.list("groupSet", [&instance.group], |xml, group| {
        xml.text("groupId", group);
    });
    xml.list("networkInterfaceSet", [instance], |xml, instance| {
        tell_interface(xml, instance);
    });
    xml.list("blockDeviceMapping", [&instance.volume], |xml, volume| {
        xml.text("deviceName", &instance.root_device);
        xml.with("ebs", |xml| {
            xml.text("volumeId", &volume.id);
            xml.text("status", "attached");
            xml.text(
                "deleteOnTermination",
                &volume.ends_with_instance.to_string(),
            );
        });
    });
}

fn tell_interface(xml: &mut Xml, instance: &Instance) {
    xml.text("networkInterfaceId", &instance.interface);
    xml.text("status", "in-use");
    xml.text("privateIpAddress", "172.31.0.10");
    xml.list("groupSet", [&instance.group], |xml, group| {
        xml.text("groupId", group);
    });
    if let Some(address) = &instance.public_address {
        xml.with("association", |xml| {
            xml.text("publicIp", address);
            xml.text("ipOwnerId", "amazon");
        });
    }
}

/// `DescribeInstances`
pub fn describe(params: &Params, cloud: &Cloud) -> Body {
    let wanted = params.list("InstanceId");
    let filters = Filters::read(params)?;
    params.get("MaxResults");
    params.finish()?;
    if let Some(unheard) = wanted.iter().find(|id| !cloud.instances.contains_key(*id)) {
        return Err(unknown("InvalidInstanceID.NotFound", unheard));
    }
    let mut shown = Vec::new();
    for (id, instance) in &cloud.instances {
        let field = |name: &str| {
            let state = match instance.life {
                Life::Running => "running",
                Life::Terminated => "terminated",
            };
            (name == "instance-state-name").then(|| state.to_owned())
        };
        let is_wanted = wanted.is_empty() || wanted.contains(id);
        if filters.pass(&instance.tags, field)? && is_wanted {
            shown.push((id, instance));
        }
    }
    Ok(answer(|xml| {
        xml.list("reservationSet", shown, |xml, one| {
            tell_reservation(xml, [one]);
        });
    }))
}

/// `GetConsoleOutput`
pub fn console(params: &Params, cloud: &Cloud) -> Body {
    let id = params.need("InstanceId")?;
    params.only("Latest", "true")?;
    params.finish()?;
    let instance = cloud.instances.get(id);
    let instance = instance.ok_or_else(|| unknown("InvalidInstanceID.NotFound", id))?;
    let log = fs::read(&instance.serial).unwrap_or_default();
    let start = log.len().saturating_sub(CONSOLE_BYTES);
    let mut shown = log.get(start..).unwrap_or_default();
    if let Some(Fault::CutSerial(bytes)) = cloud.fault {
        shown = shown.get(..bytes).unwrap_or(shown);
    }
    Ok(answer(|xml| {
        xml.text("instanceId", id);
        xml.text("output", &STANDARD.encode(shown));
    }))
}

/// `TerminateInstances`
pub fn terminate(params: &Params, cloud: &mut Cloud) -> Body {
    let wanted = params.list("InstanceId");
    params.finish()?;
    if let Some(unheard) = wanted.iter().find(|id| !cloud.instances.contains_key(*id)) {
        return Err(unknown("InvalidInstanceID.NotFound", unheard));
    }
    if cloud.fault != Some(Fault::FailedTerminate) {
        for id in &wanted {
            if let Some(instance) = cloud.instances.get_mut(id) {
                instance.end();
            }
        }
    }
    Ok(answer(|xml| {
        xml.list("instancesSet", &wanted, |xml, id| {
            xml.text("instanceId", id);
            tell_state(xml, "currentState", Life::Terminated);
            tell_state(xml, "previousState", Life::Running);
        });
    }))
}

/// `DescribeVolumes`
pub fn volumes(params: &Params, cloud: &Cloud) -> Body {
    let filters = Filters::read(params)?;
    params.finish()?;
    let mut shown = Vec::new();
    for instance in cloud.instances.values() {
        if instance.volume.is_there && filters.pass(&instance.volume.tags, no_field)? {
            shown.push(instance);
        }
    }
    Ok(answer(|xml| {
        xml.list("volumeSet", shown, |xml, instance| {
            let state = match instance.life {
                Life::Running => "in-use",
                Life::Terminated => "available",
            };
            xml.text("volumeId", &instance.volume.id);
            xml.text("status", state);
            xml.text("size", &instance.volume.gib.to_string());
            tell_tags(xml, &instance.volume.tags);
        });
    }))
}

/// `DeleteVolume`
pub fn delete_volume(params: &Params, cloud: &mut Cloud) -> Body {
    let id = params.need("VolumeId")?;
    params.finish()?;
    let mut instances = cloud.instances.values_mut();
    let owner = instances.find(|owner| owner.volume.id == id && owner.volume.is_there);
    let owner = owner.ok_or_else(|| unknown("InvalidVolume.NotFound", id))?;
    if owner.life != Life::Terminated {
        return Err(Refusal::new(
            "VolumeInUse",
            format!("Volume {id} is currently attached"),
        ));
    }
    owner.volume.is_there = false;
    Ok(done())
}

/// `DescribeNetworkInterfaces`
pub fn interfaces(params: &Params, cloud: &Cloud) -> Body {
    let filters = Filters::read(params)?;
    params.finish()?;
    let mut shown = Vec::new();
    for instance in cloud.instances.values() {
        // An interface ends with its instance.
        if instance.life == Life::Running && filters.pass(&instance.interface_tags, no_field)? {
            shown.push(instance);
        }
    }
    Ok(answer(|xml| {
        xml.list("networkInterfaceSet", shown, |xml, instance| {
            tell_interface(xml, instance);
            tell_tags(xml, &instance.interface_tags);
        });
    }))
}

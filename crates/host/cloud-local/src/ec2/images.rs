//! Imports, snapshots, images.

use std::path::Path;
use std::process::Command;

use crate::ec2::{ACCOUNT, Body, Filters, answer, done, no_field, tags_for, tell_tags, unknown};
use crate::fault::Fault;
use crate::params::{Params, Refusal};
use crate::state::{Cloud, Image, Progress, Snapshot, Task};
use crate::xml::Xml;

const GIB: u64 = 1 << 30;

/// `ImportSnapshot`: the uploaded object becomes a disk.
pub fn import(params: &Params, cloud: &mut Cloud) -> Body {
    let description = params.get("Description").unwrap_or_default().to_owned();
    let format = params.need("DiskContainer.Format")?.to_owned();
    let bucket = params.need("DiskContainer.UserBucket.S3Bucket")?.to_owned();
    let key = params.need("DiskContainer.UserBucket.S3Key")?.to_owned();
    params.get("ClientToken");
    let mut tags = tags_for(params, &["import-snapshot-task"])?;
    params.finish()?;
    let object = cloud.objects.get(&(bucket, key.clone()));
    let object = object
        .ok_or_else(|| Refusal::new("InvalidParameter", format!("No object {key} to import")))?;
    let from = object.path.clone();
    let progress = match cloud.fault {
        Some(Fault::Slow) => Progress::Active,
        Some(Fault::FailedImport) => Progress::Failed {
            why: "ClientError: Disk validation failed [Unsupported partition table]".to_owned(),
        },
        _ => {
            let id = cloud.identifier("snap");
            let disk = cloud.dir.join(&id);
            match convert(&from, &format, &disk) {
                Ok(bytes) => {
                    let snapshot = Snapshot {
                        disk,
                        gib: bytes.div_ceil(GIB),
                        description: description.clone(),
                        tags: std::collections::BTreeMap::new(),
                    };
                    cloud.snapshots.insert(id.clone(), snapshot);
                    Progress::Completed { snapshot: id }
                }
                Err(why) => Progress::Failed { why },
            }
        }
    };
    let id = cloud.identifier("import-snap");
    let task = Task {
        progress,
        description,
        tags: tags.remove("import-snapshot-task").unwrap_or_default(),
    };
    let told = answer(|xml| {
        xml.text("importTaskId", &id);
        tell_detail(xml, &task);
        tell_tags(xml, &task.tags);
    });
    cloud.tasks.insert(id, task);
    Ok(told)
}

/// Turns what was uploaded into a raw disk; a sentence where it is none.
fn convert(from: &Path, format: &str, to: &Path) -> Result<u64, String> {
    let format = match format {
        "VMDK" => "vmdk",
        "RAW" => "raw",
        other => return Err(format!("ClientError: Unknown disk format {other}")),
    };
    let output = Command::new("qemu-img")
        .args(["convert", "-f", format, "-O", "raw"])
        .arg(from)
        .arg(to)
        .output()
        .map_err(|error| format!("ServerError: qemu-img: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "ClientError: Disk validation failed [{}]",
            said.trim()
        ));
    }
    to.metadata()
        .map(|file| file.len())
        .map_err(|error| error.to_string())
}

fn tell_detail(xml: &mut Xml, task: &Task) {
    xml.with("snapshotTaskDetail", |xml| {
        xml.text("description", &task.description);
        let status = match &task.progress {
            Progress::Active => "active",
            Progress::Completed { snapshot } => {
                xml.text("snapshotId", snapshot);
                "completed"
            }
            Progress::Failed { why } => {
                xml.text("statusMessage", why);
                "deleted"
            }
            Progress::Cancelled => "deleted",
        };
        xml.text("status", status);
    });
}

/// `DescribeImportSnapshotTasks`
pub fn tasks(params: &Params, cloud: &Cloud) -> Body {
    let wanted = params.list("ImportTaskId");
    params.finish()?;
    if let Some(unheard) = wanted.iter().find(|id| !cloud.tasks.contains_key(*id)) {
        return Err(unknown("InvalidConversionTaskId.Malformed", unheard));
    }
    let tasks = cloud
        .tasks
        .iter()
        .filter(|(id, _)| wanted.is_empty() || wanted.contains(id));
    Ok(answer(|xml| {
        xml.list("importSnapshotTaskSet", tasks, |xml, (id, task)| {
            xml.text("importTaskId", id);
            tell_detail(xml, task);
            tell_tags(xml, &task.tags);
        });
    }))
}

/// `CancelImportTask`
pub fn cancel(params: &Params, cloud: &mut Cloud) -> Body {
    let id = params.need("ImportTaskId")?.to_owned();
    params.finish()?;
    let task = cloud.tasks.get_mut(&id);
    let task = task.ok_or_else(|| unknown("InvalidConversionTaskId.Malformed", &id))?;
    if task.progress != Progress::Active {
        return Err(Refusal::new(
            "IncorrectState",
            format!("The task {id} is not active"),
        ));
    }
    task.progress = Progress::Cancelled;
    Ok(answer(|xml| {
        xml.text("importTaskId", &id);
        xml.text("previousState", "active");
        xml.text("state", "deleted");
    }))
}

/// `DescribeSnapshots`
pub fn snapshots(params: &Params, cloud: &Cloud) -> Body {
    params.list("Owner");
    let wanted = params.list("SnapshotId");
    let filters = Filters::read(params)?;
    params.finish()?;
    let mut shown = Vec::new();
    for (id, snapshot) in &cloud.snapshots {
        let field = |name: &str| (name == "snapshot-id").then(|| id.clone());
        let is_wanted = wanted.is_empty() || wanted.contains(id);
        if filters.pass(&snapshot.tags, field)? && is_wanted {
            shown.push((id, snapshot));
        }
    }
    Ok(answer(|xml| {
        xml.list("snapshotSet", shown, |xml, (id, snapshot)| {
            xml.text("snapshotId", id);
            xml.text("status", "completed");
            xml.text("ownerId", ACCOUNT);
            xml.text("volumeSize", &snapshot.gib.to_string());
            xml.text("description", &snapshot.description);
            tell_tags(xml, &snapshot.tags);
        });
    }))
}

/// `DeleteSnapshot`
pub fn delete_snapshot(params: &Params, cloud: &mut Cloud) -> Body {
    let id = params.need("SnapshotId")?.to_owned();
    params.finish()?;
    if let Some((image, _)) = cloud.images.iter().find(|(_, image)| image.snapshot == id) {
        return Err(Refusal::new(
            "InvalidSnapshot.InUse",
            format!("The snapshot {id} is currently in use by {image}"),
        ));
    }
    if !cloud.snapshots.contains_key(&id) {
        return Err(unknown("InvalidSnapshot.NotFound", &id));
    }
    if cloud.fault == Some(Fault::FailedDelete) {
        return Ok(done());
    }
    if let Some(snapshot) = cloud.snapshots.remove(&id) {
        let _ = std::fs::remove_file(&snapshot.disk);
    }
    Ok(done())
}

/// `RegisterImage`
pub fn register(params: &Params, cloud: &mut Cloud) -> Body {
    params.only("Architecture", "x86_64")?;
    params.only("VirtualizationType", "hvm")?;
    params.only("ImdsSupport", "v2.0")?;
    let name = params.need("Name")?.to_owned();
    let root_device = params.need("RootDeviceName")?.to_owned();
    let boot_mode = params.get("BootMode").unwrap_or("legacy-bios").to_owned();
    let has_ena = params.get("EnaSupport") == Some("true");
    params.get("Description");
    params.only("BlockDeviceMapping.1.DeviceName", &root_device)?;
    params.only("BlockDeviceMapping.1.Ebs.VolumeType", "gp3")?;
    let snapshot = params
        .need("BlockDeviceMapping.1.Ebs.SnapshotId")?
        .to_owned();
    let keeps = params.get("BlockDeviceMapping.1.Ebs.DeleteOnTermination");
    let keeps_disk = keeps == Some("false");
    let mut tags = tags_for(params, &["image", "snapshot"])?;
    params.finish()?;
    if !cloud.snapshots.contains_key(&snapshot) {
        return Err(unknown("InvalidSnapshot.NotFound", &snapshot));
    }
    if cloud.images.values().any(|image| image.name == name) {
        return Err(Refusal::new(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use"),
        ));
    }
    let id = cloud.identifier("ami");
    let image = Image {
        name,
        snapshot,
        root_device,
        boot_mode,
        has_ena,
        keeps_disk,
        tags: tags.remove("image").unwrap_or_default(),
    };
    cloud.images.insert(id.clone(), image);
    Ok(answer(|xml| xml.text("imageId", &id)))
}

/// `DescribeImages`
pub fn describe(params: &Params, cloud: &Cloud) -> Body {
    params.list("Owner");
    let wanted = params.list("ImageId");
    let filters = Filters::read(params)?;
    params.finish()?;
    let mut shown = Vec::new();
    for (id, image) in &cloud.images {
        if filters.pass(&image.tags, no_field)? && (wanted.is_empty() || wanted.contains(id)) {
            shown.push((id, image));
        }
    }
    Ok(answer(|xml| {
        xml.list("imagesSet", shown, |xml, (id, image)| {
            xml.text("imageId", id);
            xml.text("name", &image.name);
            xml.text("imageState", "available");
            xml.text("imageOwnerId", ACCOUNT);
            xml.text("isPublic", "false");
            xml.text("architecture", "x86_64");
            xml.text("virtualizationType", "hvm");
            xml.text("bootMode", &image.boot_mode);
            xml.text("enaSupport", &image.has_ena.to_string());
            xml.text("imdsSupport", "v2.0");
            xml.text("rootDeviceName", &image.root_device);
            let disks = [&image.snapshot];
            xml.list("blockDeviceMapping", disks, |xml, snapshot| {
                xml.text("deviceName", &image.root_device);
                xml.with("ebs", |xml| {
                    xml.text("snapshotId", snapshot);
                    xml.text("deleteOnTermination", &(!image.keeps_disk).to_string());
                });
            });
            tell_tags(xml, &image.tags);
        });
    }))
}

/// `DeregisterImage`
pub fn deregister(params: &Params, cloud: &mut Cloud) -> Body {
    let id = params.need("ImageId")?.to_owned();
    params.finish()?;
    match cloud.images.remove(&id) {
        Some(_) => Ok(done()),
        None => Err(unknown("InvalidAMIID.NotFound", &id)),
    }
}

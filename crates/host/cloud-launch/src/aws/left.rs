//! What is there of a run, or of all: each listing, and how each thing is removed.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{Aws, arguments, each};
use crate::cli::{json, list as entries, string};
use crate::sweep::{Listing, answers};
use crate::{Cli, Left, Looked, Scope, TAG};

/// A listing of what can bear a tag.
struct Kind {
    name: &'static str,
    /// What lists it, and by what else that is narrowed down.
    action: &'static str,
    more: &'static [&'static str],
    /// Where the answer has its entries, and they their names.
    entries: &'static str,
    id: &'static str,
    /// What removes one; nothing for what goes with another.
    removal: Option<(&'static str, &'static str)>,
}

/// Instances that are not gone. Those that are stay listed for an hour.
const NOT_GONE: &str =
    "Name=instance-state-name,Values=pending,running,shutting-down,stopping,stopped";

/// In the order of removal: what holds another comes first.
const KINDS: [Kind; 6] = [
    Kind {
        name: "instance",
        action: "describe-instances",
        more: &[NOT_GONE],
        entries: "/Reservations",
        id: "/Instances/0/InstanceId",
        removal: Some(("terminate-instances", "--instance-ids")),
    },
    Kind {
        name: "image",
        action: "describe-images",
        more: &["--owners", "self"],
        entries: "/Images",
        id: "/ImageId",
        removal: Some(("deregister-image", "--image-id")),
    },
    Kind {
        name: "snapshot",
        action: "describe-snapshots",
        more: &["--owner-ids", "self"],
        entries: "/Snapshots",
        id: "/SnapshotId",
        removal: Some(("delete-snapshot", "--snapshot-id")),
    },
    Kind {
        name: "volume",
        action: "describe-volumes",
        more: &[],
        entries: "/Volumes",
        id: "/VolumeId",
        removal: Some(("delete-volume", "--volume-id")),
    },
    Kind {
        name: "network-interface",
        action: "describe-network-interfaces",
        more: &[],
        entries: "/NetworkInterfaces",
        id: "/NetworkInterfaceId",
        removal: Some(("delete-network-interface", "--network-interface-id")),
    },
    Kind {
        name: "security-group",
        action: "describe-security-groups",
        more: &[],
        entries: "/SecurityGroups",
        id: "/GroupId",
        removal: Some(("delete-security-group", "--group-id")),
    },
];

const IMPORT: &str = "import";
const OBJECT: &str = "object";
const UPLOAD: &str = "upload";
/// The import of a disk that is still read; beyond it there is nothing to cancel.
const ACTIVE: [&str; 4] = ["active", "pending", "converting", "updating"];
/// Everything of a scope, in the order of removal.
pub fn list(cli: &dyn Cli, bucket: &str, scope: &Scope) -> Looked {
    let mut listings: Vec<Listing> = Vec::new();
    listings.push(Box::new(|| imports(cli, scope)));
    for kind in &KINDS {
        listings.push(Box::new(|| tagged(cli, kind, scope)));
    }
    listings.push(Box::new(|| objects(cli, bucket, scope)));
    listings.push(Box::new(|| uploads(cli, bucket, scope)));
    // A snapshot is found by its tag and through its import.
    let mut looked = answers(&listings);
    looked.found.sort_by_key(rank);
    looked
}

fn rank(left: &Left) -> usize {
    let kind = KINDS.iter().position(|kind| kind.name == left.kind);
    match left.kind {
        IMPORT => 0,
        _ => kind.map_or(KINDS.len() + 1, |kind| kind + 1),
    }
}

fn left(kind: &'static str, id: String) -> Left {
    Left {
        kind,
        id,
        more: String::new(),
    }
}

fn filter(scope: &Scope) -> String {
    match scope {
        Scope::Run(run) => format!("Name=tag:{TAG},Values={run}"),
        Scope::All => format!("Name=tag-key,Values={TAG}"),
    }
}

fn prefix(scope: &Scope) -> String {
    match scope {
        Scope::Run(run) => Aws::prefix(run),
        Scope::All => format!("{TAG}/"),
    }
}

fn tagged(cli: &dyn Cli, kind: &Kind, scope: &Scope) -> Result<Vec<Left>> {
    // A second filter stands behind the first one.
    let arguments = arguments::listing(kind.action, &filter(scope), kind.more);
    let told = json(cli, &arguments)?;
    let ids = each(&told, kind.entries, kind.id);
    Ok(ids.into_iter().map(|id| left(kind.name, id)).collect())
}

fn bears(tags: &[Value], scope: &Scope) -> bool {
    tags.iter().any(|tag| {
        let is_key = string(tag, "/Key").is_ok_and(|key| key == TAG);
        let value = string(tag, "/Value").unwrap_or_default();
        is_key
            && match scope {
                Scope::Run(run) => value == *run,
                Scope::All => true,
            }
    })
}

/// Imports that go on, and snapshots of those that ended before anybody could tag what they made.
fn imports(cli: &dyn Cli, scope: &Scope) -> Result<Vec<Left>> {
    let told = json(cli, &arguments::imports())?;
    let mut all = Vec::new();
    let mut made = Vec::new();
    for task in entries(&told, "/ImportSnapshotTasks") {
        if !bears(entries(task, "/Tags"), scope) {
            continue;
        }
        let status = string(task, "/SnapshotTaskDetail/Status").unwrap_or_default();
        if ACTIVE.contains(&status.as_str()) {
            all.push(left(IMPORT, string(task, "/ImportTaskId")?));
        }
        made.extend(string(task, "/SnapshotTaskDetail/SnapshotId"));
    }
    if !made.is_empty() {
        let told = json(cli, &arguments::snapshots(&made))?;
        let ids = each(&told, "/Snapshots", "/SnapshotId");
        all.extend(ids.into_iter().map(|id| left("snapshot", id)));
    }
    Ok(all)
}

fn objects(cli: &dyn Cli, bucket: &str, scope: &Scope) -> Result<Vec<Left>> {
    let told = json(cli, &arguments::objects(bucket, &prefix(scope)))?;
    let keys = each(&told, "/Contents", "/Key");
    Ok(keys.into_iter().map(|key| left(OBJECT, key)).collect())
}

/// Uploads in parts that nobody ended: they cost as much as objects, and no listing of objects has them.
fn uploads(cli: &dyn Cli, bucket: &str, scope: &Scope) -> Result<Vec<Left>> {
    let told = json(cli, &arguments::uploads(bucket, &prefix(scope)))?;
    let mut all = Vec::new();
    for upload in entries(&told, "/Uploads") {
        all.push(Left {
            kind: UPLOAD,
            id: string(upload, "/UploadId")?,
            more: string(upload, "/Key")?,
        });
    }
    Ok(all)
}

/// The arguments that remove one thing.
pub fn removal(left: &Left, bucket: &str) -> Result<Vec<String>> {
    match left.kind {
        IMPORT => {
            let action = "cancel-import-task";
            Ok(arguments::removal(action, "--import-task-id", &left.id))
        }
        OBJECT => Ok(arguments::delete_object(bucket, &left.id)),
        UPLOAD => Ok(arguments::abort_upload(bucket, &left.more, &left.id)),
        kind => {
            let known = KINDS.iter().find(|known| known.name == kind);
            match known.and_then(|known| known.removal) {
                Some((action, option)) => Ok(arguments::removal(action, option, &left.id)),
                None => bail!("nothing removes {left}"),
            }
        }
    }
}

//! The arguments of each call.
//!
//! Structures are JSON, which every version of the tool reads the same way.

use std::path::Path;

use serde_json::json;

use super::{KIND, ROOT};
use crate::TAG;
use crate::cli::words;

const JSON: [&str; 2] = ["--output", "json"];

fn ec2(action: &str, more: &[&str]) -> Vec<String> {
    let mut all = words(&["ec2", action]);
    all.extend(words(more));
    all.extend(words(&JSON));
    all
}

fn s3api(action: &str, more: &[&str]) -> Vec<String> {
    let mut all = words(&["s3api", action]);
    all.extend(words(more));
    all.extend(words(&JSON));
    all
}

/// Tags for kinds of resources, for the request that makes them.
fn tags(kinds: &[&str], run: &str) -> String {
    let one = |kind: &&str| json!({"ResourceType": kind, "Tags": [{"Key": TAG, "Value": run}]});
    json!(kinds.iter().map(one).collect::<Vec<_>>()).to_string()
}

pub fn copy(package: &Path, bucket: &str, key: &str) -> Vec<String> {
    let from = package.to_string_lossy();
    let to = format!("s3://{bucket}/{key}");
    words(&["s3", "cp", &from, &to, "--only-show-errors"])
}

pub fn head(bucket: &str, key: &str) -> Vec<String> {
    s3api("head-object", &["--bucket", bucket, "--key", key])
}

pub fn import(run: &str, bucket: &str, key: &str) -> Vec<String> {
    let disk = json!({"Format": "VMDK", "UserBucket": {"S3Bucket": bucket, "S3Key": key}});
    ec2(
        "import-snapshot",
        &[
            "--description",
            &format!("{TAG} {run}"),
            "--disk-container",
            &disk.to_string(),
            "--tag-specifications",
            &tags(&["import-snapshot-task"], run),
        ],
    )
}

pub fn import_progress(task: &str) -> Vec<String> {
    ec2(
        "describe-import-snapshot-tasks",
        &["--import-task-ids", task],
    )
}

pub fn tag(resource: &str, run: &str) -> Vec<String> {
    let tag = format!("Key={TAG},Value={run}");
    ec2("create-tags", &["--resources", resource, "--tags", &tag])
}

pub fn register(run: &str, snapshot: &str) -> Vec<String> {
    let disk = json!([{
        "DeviceName": ROOT,
        "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": true, "VolumeType": "gp3"},
    }]);
    ec2(
        "register-image",
        &[
            "--name",
            &format!("{TAG}-{run}"),
            "--architecture",
            "x86_64",
            "--virtualization-type",
            "hvm",
            "--boot-mode",
            "uefi",
            "--ena-support",
            "--imds-support",
            "v2.0",
            "--root-device-name",
            ROOT,
            "--block-device-mappings",
            &disk.to_string(),
            "--tag-specifications",
            &tags(&["image"], run),
        ],
    )
}

pub fn image_state(image: &str) -> Vec<String> {
    ec2("describe-images", &["--image-ids", image])
}

pub fn create_group(run: &str) -> Vec<String> {
    ec2(
        "create-security-group",
        &[
            "--group-name",
            &format!("{TAG}-{run}"),
            "--description",
            "nobody in, nobody out",
            "--tag-specifications",
            &tags(&["security-group"], run),
        ],
    )
}

/// Takes back the rule that a new group has: that everything gets out.
pub fn close_group(group: &str) -> Vec<String> {
    let rules = json!([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
    ec2(
        "revoke-security-group-egress",
        &["--group-id", group, "--ip-permissions", &rules.to_string()],
    )
}

pub fn groups_of(run: &str) -> Vec<String> {
    let filter = format!("Name=tag:{TAG},Values={run}");
    ec2("describe-security-groups", &["--filters", &filter])
}

pub fn start(run: &str, image: &str, group: &str) -> Vec<String> {
    let interface = json!([{
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": false,
        "DeleteOnTermination": true,
        "Groups": [group],
    }]);
    ec2(
        "run-instances",
        &[
            "--image-id",
            image,
            "--instance-type",
            KIND,
            "--count",
            "1",
            "--client-token",
            &format!("{TAG}-{run}"),
            "--network-interfaces",
            &interface.to_string(),
            "--metadata-options",
            "HttpEndpoint=disabled",
            "--instance-initiated-shutdown-behavior",
            "terminate",
            "--tag-specifications",
            &tags(&["instance", "volume", "network-interface"], run),
        ],
    )
}

pub fn instance(instance: &str) -> Vec<String> {
    ec2("describe-instances", &["--instance-ids", instance])
}

pub fn console(instance: &str) -> Vec<String> {
    ec2(
        "get-console-output",
        &["--instance-id", instance, "--latest"],
    )
}

/// A listing of what bears the tag, `filter` first among what else it is narrowed down by.
pub fn listing(action: &str, filter: &str, more: &[&str]) -> Vec<String> {
    let mut words = vec!["--filters", filter];
    words.extend(more);
    ec2(action, &words)
}

/// Every import there was lately: this listing knows no tags.
pub fn imports() -> Vec<String> {
    ec2("describe-import-snapshot-tasks", &[])
}

/// Snapshots by their names, as far as they are there.
pub fn snapshots(ids: &[String]) -> Vec<String> {
    let filter = format!("Name=snapshot-id,Values={}", ids.join(","));
    ec2(
        "describe-snapshots",
        &["--owner-ids", "self", "--filters", &filter],
    )
}

pub fn objects(bucket: &str, prefix: &str) -> Vec<String> {
    s3api("list-objects-v2", &["--bucket", bucket, "--prefix", prefix])
}

pub fn uploads(bucket: &str, prefix: &str) -> Vec<String> {
    s3api(
        "list-multipart-uploads",
        &["--bucket", bucket, "--prefix", prefix],
    )
}

/// Removes something of EC2's.
pub fn removal(action: &str, option: &str, id: &str) -> Vec<String> {
    ec2(action, &[option, id])
}

pub fn delete_object(bucket: &str, key: &str) -> Vec<String> {
    s3api("delete-object", &["--bucket", bucket, "--key", key])
}

pub fn abort_upload(bucket: &str, key: &str, upload: &str) -> Vec<String> {
    s3api(
        "abort-multipart-upload",
        &["--bucket", bucket, "--key", key, "--upload-id", upload],
    )
}

//! The arguments of each call. What a thing is called comes last, so that a refusal is told without it.

use std::path::Path;

use super::{KIND, MOST_SECONDS, Place, named};
use crate::cli::words;
use crate::{Scope, TAG};

/// A call of `gcloud compute` about one thing, or about none.
fn compute(place: &Place, action: &[&str], more: &[&str], name: &[&str]) -> Vec<String> {
    let mut all = words(&["compute"]);
    all.extend(words(action));
    all.extend(words(&[
        "--quiet",
        "--format",
        "json",
        "--project",
        &place.project,
    ]));
    all.extend(words(more));
    all.extend(words(name));
    all
}

pub fn project(place: &Place) -> Vec<String> {
    compute(place, &["project-info", "describe"], &[], &[])
}

pub fn copy(package: &Path, object: &str) -> Vec<String> {
    let from = package.to_string_lossy();
    words(&["storage", "cp", "--quiet", &from, object])
}

pub fn object(object: &str) -> Vec<String> {
    words(&[
        "storage", "objects", "describe", "--quiet", "--format", "json", object,
    ])
}

/// What is below a prefix that ends with a slash.
pub fn objects(bucket: &str, prefix: &str) -> Vec<String> {
    let all = format!("gs://{bucket}/{prefix}**");
    words(&[
        "storage", "objects", "list", "--quiet", "--format", "json", &all,
    ])
}

pub fn delete_object(object: &str) -> Vec<String> {
    words(&["storage", "rm", "--quiet", object])
}

pub fn make_image(place: &Place, run: &str, object: &str) -> Vec<String> {
    let more = [
        "--source-uri",
        object,
        "--guest-os-features",
        "UEFI_COMPATIBLE",
        "--architecture",
        "X86_64",
        "--labels",
        &format!("{TAG}={run}"),
    ];
    compute(place, &["images", "create"], &more, &[&named(run)])
}

pub fn image(place: &Place, name: &str) -> Vec<String> {
    compute(place, &["images", "describe"], &[], &[name])
}

/// A network of its own, into which nobody comes unless a rule lets them, its subnet, and a rule that lets nobody out.
pub fn make_network(place: &Place, name: &str) -> [Vec<String>; 3] {
    let network = compute(
        place,
        &["networks", "create"],
        &["--subnet-mode", "custom"],
        &[name],
    );
    let subnet = [
        "--network",
        name,
        "--region",
        place.region(),
        "--range",
        "10.0.0.0/28",
    ];
    let rule = [
        "--network",
        name,
        "--direction",
        "EGRESS",
        "--action",
        "DENY",
        "--rules",
        "all",
        "--priority",
        "0",
    ];
    [
        network,
        compute(place, &["networks", "subnets", "create"], &subnet, &[name]),
        compute(place, &["firewall-rules", "create"], &rule, &[name]),
    ]
}

pub fn start(place: &Place, run: &str, image: &str) -> Vec<String> {
    let name = named(run);
    let more = [
        "--zone",
        &place.zone,
        "--machine-type",
        KIND,
        "--image",
        image,
        "--image-project",
        &place.project,
        "--boot-disk-size",
        "10GB",
        "--boot-disk-type",
        "pd-standard",
        "--boot-disk-auto-delete",
        "--network-interface",
        &format!("subnet={name},no-address,nic-type=VIRTIO_NET,stack-type=IPV4_ONLY"),
        "--no-service-account",
        "--no-scopes",
        "--no-shielded-secure-boot",
        "--no-shielded-vtpm",
        "--no-shielded-integrity-monitoring",
        "--no-restart-on-failure",
        "--maintenance-policy",
        "TERMINATE",
        "--max-run-duration",
        &format!("{MOST_SECONDS}s"),
        "--instance-termination-action",
        "DELETE",
        "--labels",
        &format!("{TAG}={run}"),
    ];
    compute(place, &["instances", "create"], &more, &[&name])
}

pub fn instance(place: &Place, name: &str) -> Vec<String> {
    let more = ["--zone", &place.zone];
    compute(place, &["instances", "describe"], &more, &[name])
}

pub fn disk(place: &Place, name: &str) -> Vec<String> {
    let more = ["--zone", &place.zone];
    compute(place, &["disks", "describe"], &more, &[name])
}

pub fn console(place: &Place, name: &str) -> Vec<String> {
    words(&[
        "compute",
        "instances",
        "get-serial-port-output",
        "--quiet",
        "--project",
        &place.project,
        "--zone",
        &place.zone,
        "--port",
        "1",
        name,
    ])
}

/// A listing of one kind, narrowed down by a field that begins with the name, or has it at its end.
pub fn listing(place: &Place, action: &[&str], more: &[&str], scope: &Scope) -> Vec<String> {
    let filter = match scope {
        Scope::Run(run) => format!("name={}", named(run)),
        Scope::All => format!("name~^{TAG}-"),
    };
    let mut narrowed = vec!["--filter", filter.as_str()];
    narrowed.extend(more);
    compute(place, action, &narrowed, &[])
}

/// The rules of the networks that were made here, whoever made the rules.
pub fn rules(place: &Place, scope: &Scope) -> Vec<String> {
    let name = match scope {
        Scope::Run(run) => named(run),
        Scope::All => format!("{TAG}-"),
    };
    let filter = format!("network~/networks/{name}");
    compute(
        place,
        &["firewall-rules", "list"],
        &["--filter", &filter],
        &[],
    )
}

/// Removes something of Compute Engine's.
pub fn removal(place: &Place, action: &[&str], more: &[&str], name: &str) -> Vec<String> {
    compute(place, action, more, &[name])
}

//! The launch policy, beside what the provider says.

use serde_json::Value;

use super::{KIND, MOST_SECONDS, end, named};
use crate::cli::list;
use crate::read_back::{Field, compared, text};
use crate::{Compared, TAG};

/// What was told of everything that a launch made.
#[derive(Default)]
pub struct Told {
    pub instance: Value,
    pub disk: Value,
    pub image: Value,
    /// The rules of its network.
    pub firewall: Value,
}

/// Each field of the policy.
pub fn compare(run: &str, image: &str, told: &Told) -> Vec<Compared> {
    let one = &told.instance;
    compared(
        itself(run, one)
            .into_iter()
            .chain(disk(run, image, told))
            .chain(time(one))
            .chain(network(run, one))
            .chain(firewall(run, told)),
    )
}

/// The end of a link, empty where there is none.
fn link(value: &Value, pointer: &str) -> String {
    end(&text(value, pointer)).to_owned()
}

/// What it is, and what it may.
fn itself(run: &str, one: &Value) -> Vec<Field> {
    let accounts: Vec<String> = list(one, "/serviceAccounts")
        .iter()
        .map(|account| text(account, "/email"))
        .collect();
    let metadata: Vec<String> = list(one, "/metadata/items")
        .iter()
        .map(|item| text(item, "/key"))
        .collect();
    let label = text(one, &format!("/labels/{TAG}"));
    let shielded = |field: &str| text(one, &format!("/shieldedInstanceConfig/{field}"));
    vec![
        ("run", run.to_owned(), label),
        ("name", named(run), text(one, "/name")),
        ("machine type", KIND.into(), link(one, "/machineType")),
        ("service accounts", String::new(), accounts.join(",")),
        ("metadata", String::new(), metadata.join(",")),
        ("secure boot", "false".into(), shielded("enableSecureBoot")),
        ("virtual TPM", "false".into(), shielded("enableVtpm")),
        (
            "integrity monitoring",
            "false".into(),
            shielded("enableIntegrityMonitoring"),
        ),
    ]
}

/// What it boots, and what goes with it.
fn disk(run: &str, image: &str, told: &Told) -> Vec<Field> {
    let disks = list(&told.instance, "/disks");
    let go: Vec<String> = disks.iter().map(|disk| text(disk, "/autoDelete")).collect();
    let from: Vec<String> = disks.iter().map(|disk| link(disk, "/source")).collect();
    let features: Vec<String> = list(&told.image, "/guestOsFeatures")
        .iter()
        .map(|feature| text(feature, "/type"))
        .collect();
    let label = text(&told.image, &format!("/labels/{TAG}"));
    vec![
        ("image", image.to_owned(), link(&told.disk, "/sourceImage")),
        ("run of the image", run.to_owned(), label),
        (
            "image features",
            "UEFI_COMPATIBLE".into(),
            features.join(","),
        ),
        (
            "architecture",
            "X86_64".into(),
            text(&told.image, "/architecture"),
        ),
        ("disks", named(run), from.join(",")),
        ("disk size", "10".into(), text(&told.disk, "/sizeGb")),
        ("disks that go with it", "true".into(), go.join(",")),
    ]
}

/// When it ends of itself.
fn time(one: &Value) -> Vec<Field> {
    let scheduling = |field: &str| text(one, &format!("/scheduling/{field}"));
    let action = scheduling("instanceTerminationAction");
    vec![
        (
            "seconds that it may run",
            MOST_SECONDS.to_string(),
            scheduling("maxRunDuration/seconds"),
        ),
        ("what ends it does", "DELETE".into(), action),
        (
            "starts again",
            "false".into(),
            scheduling("automaticRestart"),
        ),
    ]
}

/// Where it can be reached.
fn network(run: &str, one: &Value) -> Vec<Field> {
    let interfaces = list(one, "/networkInterfaces");
    let of_all = |pointer: &str| {
        let found = interfaces.iter().map(|interface| text(interface, pointer));
        found.collect::<Vec<_>>().join(",")
    };
    let ends = |pointer: &str| {
        let found = interfaces.iter().map(|interface| link(interface, pointer));
        found.collect::<Vec<_>>().join(",")
    };
    let doors: usize = ["/accessConfigs", "/ipv6AccessConfigs", "/aliasIpRanges"]
        .iter()
        .flat_map(|pointer| interfaces.iter().map(|one| list(one, pointer).len()))
        .sum();
    let count = interfaces.len().to_string();
    let forwards = match one.pointer("/canIpForward") {
        // A field that is false may be left out.
        None => "false".to_owned(),
        Some(value) => value.to_string(),
    };
    vec![
        ("network interfaces", "1".into(), count),
        ("external addresses", "0".into(), doors.to_string()),
        ("network", named(run), ends("/network")),
        ("subnet", named(run), ends("/subnetwork")),
        ("interface type", "VIRTIO_NET".into(), of_all("/nicType")),
        ("address families", "IPV4_ONLY".into(), of_all("/stackType")),
        ("forwards packets", "false".into(), forwards),
    ]
}

/// What may come and go. Without a rule nobody comes in, and everything gets out.
fn firewall(run: &str, told: &Told) -> Vec<Field> {
    let rules = told.firewall.as_array().map_or(&[][..], Vec::as_slice);
    let of_network = |rule: &&Value| link(rule, "/network") == named(run);
    let mine: Vec<&Value> = rules.iter().filter(of_network).collect();
    let allow = mine
        .iter()
        .filter(|rule| !list(rule, "/allowed").is_empty());
    let denial = mine
        .iter()
        .find(|rule| text(rule, "/direction") == "EGRESS");
    let told = denial.map(|rule| {
        let what: Vec<String> = list(rule, "/denied")
            .iter()
            .map(|denied| text(denied, "/IPProtocol"))
            .collect();
        let far: Vec<String> = list(rule, "/destinationRanges")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let (priority, off) = (text(rule, "/priority"), text(rule, "/disabled"));
        format!(
            "{} to {} at {priority} off={off}",
            what.join(","),
            far.join(",")
        )
    });
    let way_out = "all to 0.0.0.0/0 at 0 off=false".to_owned();
    vec![
        ("firewall rules", "1".into(), mine.len().to_string()),
        (
            "firewall rules that allow",
            "0".into(),
            allow.count().to_string(),
        ),
        (
            "firewall rule that denies",
            way_out,
            told.unwrap_or_default(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Told, compare};
    use crate::Compared;

    #[test]
    fn an_answer_without_anything_keeps_no_policy() {
        let compared = compare("r", "image", &Told::default());
        let kept: Vec<&str> = compared
            .iter()
            .filter(|field| field.is_kept())
            .map(|field| field.field)
            .collect();
        // Only what must not be there.
        assert_eq!(
            kept,
            [
                "service accounts",
                "metadata",
                "external addresses",
                "forwards packets",
                "firewall rules that allow",
            ]
        );
        assert!(compared.iter().any(|field| !Compared::is_kept(field)));
    }
}

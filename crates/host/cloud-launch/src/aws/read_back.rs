//! The launch policy, beside what the provider says of the instance.

use serde_json::Value;

use super::{KIND, each};
use crate::cli::list;
use crate::read_back::{Field, compared, text};
use crate::{Compared, TAG};

/// Each field of the policy. `instances` is what describes the instance, `groups` the run's firewall groups.
pub fn compare(run: &str, image: &str, instances: &Value, groups: &Value) -> Vec<Compared> {
    let nothing = Value::Null;
    let one = instances.pointer("/Reservations/0/Instances/0");
    let one = one.unwrap_or(&nothing);
    let fields = itself(run, image, one).into_iter();
    compared(fields.chain(network(one)).chain(firewall(one, groups)))
}

/// What it is, what it may, and what goes with it.
fn itself(run: &str, image: &str, one: &Value) -> Vec<Field> {
    let tag = list(one, "/Tags")
        .iter()
        .find(|tag| text(tag, "/Key") == TAG)
        .map(|tag| text(tag, "/Value"));
    let disks = list(one, "/BlockDeviceMappings").iter();
    let go: Vec<String> = disks
        .map(|disk| text(disk, "/Ebs/DeleteOnTermination"))
        .collect();
    let profile = text(one, "/IamInstanceProfile/Arn");
    let metadata = text(one, "/MetadataOptions/HttpEndpoint");
    vec![
        ("run", run.to_owned(), tag.unwrap_or_default()),
        ("image", image.to_owned(), text(one, "/ImageId")),
        ("instance type", KIND.into(), text(one, "/InstanceType")),
        ("architecture", "x86_64".into(), text(one, "/Architecture")),
        ("boot mode", "uefi".into(), text(one, "/BootMode")),
        ("ENA support", "true".into(), text(one, "/EnaSupport")),
        ("instance profile", String::new(), profile),
        ("key pair", String::new(), text(one, "/KeyName")),
        ("metadata service", "disabled".into(), metadata),
        ("disks that go with it", "true".into(), go.join(",")),
    ]
}

/// Where it can be reached.
fn network(one: &Value) -> Vec<Field> {
    let interfaces = list(one, "/NetworkInterfaces");
    let addresses: Vec<String> = interfaces
        .iter()
        .map(|interface| text(interface, "/Association/PublicIp"))
        .chain([text(one, "/PublicIpAddress"), text(one, "/PublicDnsName")])
        .filter(|address| !address.is_empty())
        .collect();
    let ipv6: usize = interfaces
        .iter()
        .map(|interface| list(interface, "/Ipv6Addresses").len())
        .sum();
    let count = interfaces.len().to_string();
    vec![
        ("public addresses", String::new(), addresses.join(",")),
        ("IPv6 addresses", "0".into(), ipv6.to_string()),
        ("network interfaces", "1".into(), count),
    ]
}

/// What may come and go.
fn firewall(one: &Value, groups: &Value) -> Vec<Field> {
    let made = each(groups, "/SecurityGroups", "/GroupId");
    let (group, made) = (made.join(","), made.len());
    let rules = |pointer: &str| {
        let groups = list(groups, "/SecurityGroups").iter();
        let rules: usize = groups.map(|group| list(group, pointer).len()).sum();
        rules.to_string()
    };
    let worn = each(one, "/SecurityGroups", "/GroupId").join(",");
    let of_interfaces: Vec<String> = list(one, "/NetworkInterfaces")
        .iter()
        .flat_map(|interface| each(interface, "/Groups", "/GroupId"))
        .collect();
    let of_interfaces = of_interfaces.join(",");
    let (way_in, way_out) = (rules("/IpPermissions"), rules("/IpPermissionsEgress"));
    vec![
        ("firewall groups", "1".into(), made.to_string()),
        ("firewall group", group.clone(), worn),
        ("firewall group of the interface", group, of_interfaces),
        ("firewall rules in", "0".into(), way_in),
        ("firewall rules out", "0".into(), way_out),
    ]
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::Compared;
    use serde_json::Value;

    #[test]
    fn an_answer_without_anything_keeps_no_policy() {
        let compared = compare("r", "ami-1", &Value::Null, &Value::Null);
        let is_kept = |name: &str| {
            let mut fields = compared.iter().filter(|field| field.field == name);
            fields.next().is_some_and(Compared::is_kept)
        };
        for name in [
            "run",
            "image",
            "metadata service",
            "network interfaces",
            "firewall groups",
        ] {
            assert!(!is_kept(name), "{name}");
        }
    }
}

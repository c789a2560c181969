//! The firewall: security groups.

use crate::ec2::{ACCOUNT, Body, Filters, answer, done, no_field, tags_for, tell_tags, unknown};
use crate::params::{Params, Refusal};
use crate::state::{Cloud, Group, Life};
use crate::xml::Xml;

/// Everybody, in IPv4.
const EVERYBODY: &str = "0.0.0.0/0";

/// `CreateSecurityGroup`: nobody gets in, everything gets out.
pub fn create(params: &Params, cloud: &mut Cloud) -> Body {
    let name = params.need("GroupName")?.to_owned();
    let description = params.need("GroupDescription")?.to_owned();
    let mut tags = tags_for(params, &["security-group"])?;
    params.finish()?;
    if cloud.groups.values().any(|group| group.name == name) {
        return Err(Refusal::new(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists"),
        ));
    }
    let id = cloud.identifier("sg");
    let group = Group {
        name,
        description,
        ingress: Vec::new(),
        egress: vec![EVERYBODY.to_owned()],
        tags: tags.remove("security-group").unwrap_or_default(),
    };
    cloud.groups.insert(id.clone(), group);
    Ok(answer(|xml| {
        xml.text("return", "true");
        xml.text("groupId", &id);
    }))
}

/// `RevokeSecurityGroupEgress`
pub fn revoke(params: &Params, cloud: &mut Cloud) -> Body {
    let id = params.need("GroupId")?.to_owned();
    params.only("IpPermissions.1.IpProtocol", "-1")?;
    let range = params.need("IpPermissions.1.IpRanges.1.CidrIp")?.to_owned();
    params.finish()?;
    let group = cloud.groups.get_mut(&id);
    let group = group.ok_or_else(|| unknown("InvalidGroup.NotFound", &id))?;
    if !group.egress.contains(&range) {
        return Err(Refusal::new(
            "InvalidPermission.NotFound",
            "The specified rule does not exist in this security group.",
        ));
    }
    group.egress.retain(|known| *known != range);
    Ok(done())
}

fn tell_rules(xml: &mut Xml, name: &str, ranges: &[String]) {
    // One rule for each range, over every protocol.
    xml.list(name, ranges, |xml, range| {
        xml.text("ipProtocol", "-1");
        xml.list("ipRanges", [range], |xml, range| xml.text("cidrIp", range));
    });
}

/// `DescribeSecurityGroups`
pub fn describe(params: &Params, cloud: &Cloud) -> Body {
    let wanted = params.list("GroupId");
    let filters = Filters::read(params)?;
    params.finish()?;
    if let Some(unheard) = wanted.iter().find(|id| !cloud.groups.contains_key(*id)) {
        return Err(unknown("InvalidGroup.NotFound", unheard));
    }
    let mut shown = Vec::new();
    for (id, group) in &cloud.groups {
        if filters.pass(&group.tags, no_field)? && (wanted.is_empty() || wanted.contains(id)) {
            shown.push((id, group));
        }
    }
    Ok(answer(|xml| {
        xml.list("securityGroupInfo", shown, |xml, (id, group)| {
            xml.text("ownerId", ACCOUNT);
            xml.text("groupId", id);
            xml.text("groupName", &group.name);
            xml.text("groupDescription", &group.description);
            tell_rules(xml, "ipPermissions", &group.ingress);
            tell_rules(xml, "ipPermissionsEgress", &group.egress);
            tell_tags(xml, &group.tags);
        });
    }))
}

/// `DeleteSecurityGroup`
pub fn delete(params: &Params, cloud: &mut Cloud) -> Body {
    let id = params.need("GroupId")?.to_owned();
    params.finish()?;
    let mut instances = cloud.instances.values();
    if instances.any(|instance| instance.group == id && instance.life != Life::Terminated) {
        return Err(Refusal::new(
            "DependencyViolation",
            format!("resource {id} has a dependent object"),
        ));
    }
    match cloud.groups.remove(&id) {
        Some(_) => Ok(done()),
        None => Err(unknown("InvalidGroup.NotFound", &id)),
    }
}

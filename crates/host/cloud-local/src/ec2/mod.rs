//! EC2's query interface, as far as a launch needs it.
//!
//! Source: Amazon EC2 API Reference, version 2016-11-15, "Actions" and "Data types".

mod groups;
mod images;
mod instances;

use std::collections::BTreeMap;

use crate::params::{Params, Refusal};
use crate::state::{Cloud, Tags};
use crate::xml::Xml;

/// Whose cloud it is.
pub const ACCOUNT: &str = "000000000000";

/// What an action answers, without the element around it.
type Body = Result<Xml, Refusal>;

/// One request.
pub fn handle(action: &str, params: &Params, cloud: &mut Cloud) -> Result<String, Refusal> {
    params.need("Action")?;
    params.only("DryRun", "false")?;
    let body = match action {
        "CreateTags" => create_tags(params, cloud),
        "ImportSnapshot" => images::import(params, cloud),
        "DescribeImportSnapshotTasks" => images::tasks(params, cloud),
        "CancelImportTask" => images::cancel(params, cloud),
        "DescribeSnapshots" => images::snapshots(params, cloud),
        "DeleteSnapshot" => images::delete_snapshot(params, cloud),
        "RegisterImage" => images::register(params, cloud),
        "DescribeImages" => images::describe(params, cloud),
        "DeregisterImage" => images::deregister(params, cloud),
        "RunInstances" => instances::run(params, cloud),
        "DescribeInstances" => instances::describe(params, cloud),
        "GetConsoleOutput" => instances::console(params, cloud),
        "TerminateInstances" => instances::terminate(params, cloud),
        "DescribeVolumes" => instances::volumes(params, cloud),
        "DeleteVolume" => instances::delete_volume(params, cloud),
        "DescribeNetworkInterfaces" => instances::interfaces(params, cloud),
        "CreateSecurityGroup" => groups::create(params, cloud),
        "RevokeSecurityGroupEgress" => groups::revoke(params, cloud),
        "DescribeSecurityGroups" => groups::describe(params, cloud),
        "DeleteSecurityGroup" => groups::delete(params, cloud),
        _ => Err(Refusal::new(
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        )),
    }?;
    Ok(body.into_document(
        &format!("{action}Response"),
        "http://ec2.amazonaws.com/doc/2016-11-15/",
    ))
}

/// An answer that begins with the request's number, as all do.
fn answer(inside: impl FnOnce(&mut Xml)) -> Xml {
    let mut xml = Xml::default();
    xml.text("requestId", "local");
    inside(&mut xml);
    xml
}

/// The answer of an action that says no more than that it was done.
fn done() -> Xml {
    answer(|xml| xml.text("return", "true"))
}

/// Nothing of that kind has this name.
fn unknown(code: &'static str, name: &str) -> Refusal {
    Refusal::new(code, format!("'{name}' does not exist"))
}

/// The tags that a request gives to a kind of resource; other kinds are refused, so that nothing goes untagged in silence.
fn tags_for<'a>(params: &Params, kinds: &[&'a str]) -> Result<BTreeMap<&'a str, Tags>, Refusal> {
    let mut all = BTreeMap::new();
    for entry in params.entries("TagSpecification") {
        let kind = params.need(&format!("{entry}ResourceType"))?;
        let kind = kinds.iter().find(|known| **known == kind).ok_or_else(|| {
            Refusal::new(
                "InvalidParameterValue",
                format!("'{kind}' is not a valid taggable resource type for this operation."),
            )
        })?;
        all.insert(*kind, tags(params, &format!("{entry}Tag"))?);
    }
    Ok(all)
}

fn tags(params: &Params, list: &str) -> Result<Tags, Refusal> {
    let mut tags = Tags::new();
    for tag in params.entries(list) {
        let key = params.need(&format!("{tag}Key"))?.to_owned();
        let value = params.need(&format!("{tag}Value"))?.to_owned();
        tags.insert(key, value);
    }
    Ok(tags)
}

fn tell_tags(xml: &mut Xml, tags: &Tags) {
    xml.list("tagSet", tags, |xml, (key, value)| {
        xml.text("key", key);
        xml.text("value", value);
    });
}

/// Gives tags to what is there already.
fn create_tags(params: &Params, cloud: &mut Cloud) -> Body {
    let resources = params.list("ResourceId");
    let given = tags(params, "Tag")?;
    params.finish()?;
    for resource in &resources {
        let snapshot = cloud.snapshots.get_mut(resource);
        let tags = snapshot
            .map(|snapshot| &mut snapshot.tags)
            .or_else(|| Some(&mut cloud.images.get_mut(resource)?.tags))
            .or_else(|| Some(&mut cloud.groups.get_mut(resource)?.tags))
            .or_else(|| Some(&mut cloud.instances.get_mut(resource)?.tags));
        tags.ok_or_else(|| unknown("InvalidID", resource))?
            .extend(given.clone());
    }
    Ok(done())
}

/// What a listing is narrowed down by.
struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    fn read(params: &Params) -> Result<Self, Refusal> {
        let mut all = Vec::new();
        for entry in params.entries("Filter") {
            let name = params.need(&format!("{entry}Name"))?.to_owned();
            all.push((name, params.list(&format!("{entry}Value"))));
        }
        Ok(Self(all))
    }

    /// Whether a resource passes; of its fields `field` knows the value by the filter's name.
    fn pass(&self, tags: &Tags, field: impl Fn(&str) -> Option<String>) -> Result<bool, Refusal> {
        for (name, values) in &self.0 {
            let passes = if let Some(key) = name.strip_prefix("tag:") {
                tags.get(key).is_some_and(|value| values.contains(value))
            } else if name == "tag-key" {
                values.iter().any(|key| tags.contains_key(key))
            } else {
                let found = field(name).ok_or_else(|| {
                    Refusal::new(
                        "InvalidParameterValue",
                        format!("The filter '{name}' is invalid"),
                    )
                })?;
                values.contains(&found)
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// No field but tags can be filtered by.
fn no_field(_: &str) -> Option<String> {
    None
}

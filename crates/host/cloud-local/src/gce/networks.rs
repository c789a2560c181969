//! Networks, their subnets and their firewall rules.

use serde_json::json;

use super::Made;
use super::things::{Kind, Thing};
use crate::params::{Params, Refusal};
use crate::state::Cloud;

/// A new one.
pub fn insert(kind: Kind, params: &Params, cloud: &Cloud) -> Result<Made, Refusal> {
    let told = match kind {
        Kind::Subnet => subnet(params, cloud)?,
        Kind::Firewall => firewall(params, cloud)?,
        _ => network(params)?,
    };
    params.finish()?;
    Ok(Made::Done(Thing { told, file: None }))
}

fn network(params: &Params) -> Result<serde_json::Value, Refusal> {
    params.only("autoCreateSubnetworks", "false")?;
    params.only("routingConfig.routingMode", "REGIONAL")?;
    // One that does not say so has subnets everywhere, and rules that let people in.
    params.need("autoCreateSubnetworks")?;
    Ok(json!({}))
}

fn subnet(params: &Params, cloud: &Cloud) -> Result<serde_json::Value, Refusal> {
    params.need("ipCidrRange")?;
    params.only("privateIpGoogleAccess", "false")?;
    cloud
        .google
        .referred(Kind::Network, params.need("network")?)?;
    Ok(json!({"gatewayAddress": "10.0.0.1", "stackType": "IPV4_ONLY"}))
}

fn firewall(params: &Params, cloud: &Cloud) -> Result<serde_json::Value, Refusal> {
    cloud
        .google
        .referred(Kind::Network, params.need("network")?)?;
    let direction = params.need("direction")?.to_owned();
    params.need("priority")?;
    for list in ["allowed", "denied"] {
        for entry in params.entries(list) {
            params.need(&format!("{entry}IPProtocol"))?;
            params.list(&format!("{entry}ports"));
        }
    }
    let far = match direction.as_str() {
        "INGRESS" => "sourceRanges",
        "EGRESS" => "destinationRanges",
        other => {
            return Err(Refusal::new(
                "invalid",
                format!("Invalid value for field 'resource.direction': '{other}'"),
            ));
        }
    };
    let mut ranges = params.list(far);
    if ranges.is_empty() {
        ranges.push("0.0.0.0/0".to_owned());
    }
    Ok(json!({far: ranges, "disabled": false, "logConfig": {"enable": false}}))
}

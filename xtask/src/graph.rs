//! `cargo xtask graph`: the crates by tier and their arrows.
//!
//! Invariant: never judges; `tidy` does.

use crate::project::Project;
use crate::tidy::RANKS;

/// The graph as text, one tier after the other.
pub fn text(project: &Project) -> String {
    let mut out = String::new();
    for (tier, what) in RANKS {
        let members = project.members.iter().filter(|member| member.tier == tier);
        let lines: Vec<String> = members
            .map(|member| {
                let mut needs = member.needs.clone();
                needs.sort();
                needs.dedup();
                format!("  {:18} {}\n", member.name, needs.join(" "))
                    .trim_end()
                    .to_owned()
                    + "\n"
            })
            .collect();
        if !lines.is_empty() {
            out.push_str(&format!("{tier} {what}\n{}", lines.concat()));
        }
    }
    out
}

/// The graph for Graphviz.
pub fn dot(project: &Project) -> String {
    let mut out = String::from("digraph crates {\n  rankdir=BT;\n  node [shape=box];\n");
    for (tier, what) in RANKS {
        let names: Vec<String> = project
            .members
            .iter()
            .filter(|member| member.tier == tier)
            .map(|member| format!("{:?};", member.name))
            .collect();
        if !names.is_empty() {
            out.push_str(&format!(
                "  subgraph \"cluster_{tier}\" {{ label=\"{tier} {what}\"; {} }}\n",
                names.join(" ")
            ));
        }
    }
    for member in &project.members {
        for need in &member.needs {
            out.push_str(&format!("  {:?} -> {need:?};\n", member.name));
        }
    }
    out.push_str("}\n");
    out
}

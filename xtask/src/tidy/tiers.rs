//! Which crate may depend on which: the tiers of the architecture, and no arrow up.

use crate::project::{Member, Project};

/// The tiers in the order in which a reader meets them, with what they hold.
pub const RANKS: [(&str, &str); 11] = [
    ("T0", "pure"),
    ("T1", "mechanism"),
    ("T2", "hardware owners"),
    ("T3", "kernel objects"),
    ("T4", "drivers"),
    ("T5", "assembly"),
    ("U0", "schema and stubs"),
    ("U1", "runtime"),
    ("U2", "what a service author imports"),
    ("S", "services"),
    ("H", "host tools"),
];

/// Where the crates of a tier lie, so that a folder says what a reader may expect in it.
const FOLDERS: [(&str, &[&str]); 12] = [
    ("crates/base", &["T0"]),
    ("crates/net", &["T0"]),
    ("crates/storage", &["T0"]),
    ("crates/format", &["T0"]),
    ("crates/kernel", &["T1", "T2", "T3", "T4", "T5"]),
    ("crates/boot", &["T0", "T1", "T5"]),
    ("crates/user", &["T0", "U0", "U1", "U2"]),
    ("crates/host", &["H"]),
    ("drivers", &["T4"]),
    ("services/system", &["S"]),
    ("services/smoke", &["S", "U2"]),
    ("", &["H"]),
];

/// The floor of each folder of pure crates: a crate stands on those of its own folder and of lower floors.
const FLOORS: [(&str, u32); 4] = [
    ("crates/base", 0),
    ("crates/format", 1),
    ("crates/storage", 2),
    ("crates/net", 2),
];

/// Whether a crate of one folder may stand on one of another.
fn may_stand_on(from: &str, to: &str) -> bool {
    let floor = |folder: &str| FLOORS.iter().find(|(name, _)| *name == folder);
    match (floor(from), floor(to)) {
        (Some((_, from_floor)), Some((_, to_floor))) => from == to || from_floor > to_floor,
        _ => true,
    }
}

fn folder_of(place: &str) -> &str {
    place.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Every member that lies in a folder which holds other tiers than its own, or stands on one of a folder above.
pub fn check_folders(project: &Project) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &project.members {
        let place = project.show(&member.dir);
        let folder = folder_of(&place);
        for needed in member
            .needs
            .iter()
            .filter_map(|name| project.member(name).ok())
        {
            let other = project.show(&needed.dir);
            if !may_stand_on(folder, folder_of(&other)) {
                problems.push(format!(
                    "{place} may not depend on {other}, which lies above or beside it"
                ));
            }
        }
        match FOLDERS.iter().find(|(name, _)| *name == folder) {
            None => problems.push(format!("{place}: {folder} is no folder for packages")),
            Some((_, tiers)) if !tiers.contains(&member.tier.as_str()) => problems.push(format!(
                "{place} is of tier {}, and {folder} holds {}",
                member.tier,
                tiers.join(", ")
            )),
            Some(_) => {}
        }
    }
    problems
}

/// Every arrow that points up, and every member without a tier.
pub fn check(project: &Project) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &project.members {
        if !RANKS.iter().any(|(tier, _)| *tier == member.tier) {
            problems.push(format!(
                "{}: package.metadata.tier is {:?}, which is no tier",
                member.name, member.tier
            ));
            continue;
        }
        for name in &member.needs {
            let Ok(needed) = project.member(name) else {
                continue;
            };
            if !may_use(member, needed) {
                problems.push(format!(
                    "{} ({}) may not depend on {} ({})",
                    member.name, member.tier, needed.name, needed.tier
                ));
            }
        }
    }
    problems
}

fn may_use(from: &Member, to: &Member) -> bool {
    let to_tier = to.tier.as_str();
    match from.tier.as_str() {
        "T0" => to_tier == "T0",
        "T1" => matches!(to_tier, "T0" | "T1"),
        "T2" => matches!(to_tier, "T0" | "T1" | "T2"),
        "T3" => matches!(to_tier, "T0" | "T1" | "T2" | "T3" | "U0"),
        // A driver sees its broker interface and formats, never memory or interrupt controllers; those of one family also
        // see the half that they share.
        "T4" => to_tier == "T0" || matches!(to.name.as_str(), "driver-core" | "virtio-transport"),
        // The kernel and the list of its drivers, which is a crate of its own so that the host can look at it too.
        "T5" => {
            matches!(to_tier, "T0" | "T1" | "T2" | "T3" | "T4" | "U0") || to.name == "driver-table"
        }
        "U0" => matches!(to_tier, "T0" | "U0"),
        "U1" => matches!(to_tier, "T0" | "U0" | "U1"),
        "U2" => matches!(to_tier, "T0" | "U0" | "U1" | "U2"),
        "S" => matches!(to_tier, "T0" | "U0" | "U1" | "U2"),
        "H" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{check, check_folders, may_use};
    use crate::project::{Member, Project};

    fn member(name: &str, tier: &str, needs: &[&str]) -> Member {
        Member {
            name: name.into(),
            dir: name.into(),
            bins: Vec::new(),
            guest: false,
            sabotage: false,
            tier: tier.into(),
            needs: needs.iter().map(|&need| need.into()).collect(),
        }
    }

    #[test]
    fn arrows_point_down() {
        let may = |from: &str, to: &str| may_use(&member("a", from, &[]), &member("b", to, &[]));
        assert!(may("T2", "T1") && may("T3", "U0") && may("S", "U2") && may("S", "T0"));
        assert!(!may("T0", "T1") && !may("T1", "T2") && !may("S", "T1") && !may("S", "S"));
        assert!(!may("T4", "T2") && !may("T4", "T3") && !may("U1", "U2") && !may("T5", "H"));
        let nvme = member("nvme", "T4", &[]);
        assert!(may_use(&nvme, &member("driver-core", "T3", &[])));
        assert!(may_use(&nvme, &member("virtio-transport", "T4", &[])));
        assert!(!may_use(&nvme, &member("virtio-blk", "T4", &[])));
    }

    #[test]
    fn a_crate_in_the_wrong_folder_is_named() {
        let place = |tier: &str, dir: &str| Member {
            dir: std::path::Path::new("/").join(dir),
            ..member("x", tier, &[])
        };
        let project = Project {
            root: "/".into(),
            target: "/".into(),
            guest: "/".into(),
            members: vec![
                place("T0", "crates/base/x"),
                place("T1", "crates/base/y"),
                place("T0", "crates/z"),
                Member {
                    needs: vec!["fat".into()],
                    ..place("T0", "crates/format/w")
                },
                Member {
                    name: "fat".into(),
                    ..place("T0", "crates/storage/fat")
                },
            ],
        };
        let problems = check_folders(&project);
        assert_eq!(
            problems,
            [
                "crates/base/y is of tier T1, and crates/base holds T0",
                "crates/z: crates is no folder for packages",
                "crates/format/w may not depend on crates/storage/fat, which lies above or beside it",
            ]
        );
    }

    #[test]
    fn a_broken_arrow_and_a_missing_tier_are_named() {
        let project = Project {
            root: "/".into(),
            target: "/".into(),
            guest: "/".into(),
            members: vec![
                member("low", "T0", &["high"]),
                member("high", "T2", &[]),
                member("x", "", &[]),
            ],
        };
        let problems = check(&project);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(problems[0], "low (T0) may not depend on high (T2)");
        assert!(problems[1].starts_with("x: "));
    }
}

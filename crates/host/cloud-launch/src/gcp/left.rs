//! What is there of a run, or of all: each listing, and how each thing is removed.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{Place, arguments, end, named};
use crate::cli::{json, string};
use crate::sweep::{Listing, answers};
use crate::{Cli, Left, Looked, Scope, TAG};

/// How far something reaches: the option that its calls have.
enum Reach {
    Global,
    Region,
    Zone,
}

/// What can be listed by its name.
struct Kind {
    name: &'static str,
    /// The words before `list` and `delete`.
    words: &'static [&'static str],
    reach: Reach,
}

const RULE: &str = "firewall-rule";
const OBJECT: &str = "object";

/// In the order of removal: what holds another comes first.
const KINDS: [Kind; 6] = [
    Kind {
        name: "instance",
        words: &["instances"],
        reach: Reach::Zone,
    },
    Kind {
        name: "disk",
        words: &["disks"],
        reach: Reach::Zone,
    },
    Kind {
        name: "image",
        words: &["images"],
        reach: Reach::Global,
    },
    Kind {
        name: RULE,
        words: &["firewall-rules"],
        reach: Reach::Global,
    },
    Kind {
        name: "subnet",
        words: &["networks", "subnets"],
        reach: Reach::Region,
    },
    Kind {
        name: "network",
        words: &["networks"],
        reach: Reach::Global,
    },
];

/// Everything of a scope, in the order of removal.
pub fn list(cli: &dyn Cli, place: &Place, scope: &Scope) -> Looked {
    let mut listings: Vec<Listing> = Vec::new();
    for kind in &KINDS {
        match kind.name {
            RULE => listings.push(Box::new(|| rules(cli, place, scope))),
            _ => listings.push(Box::new(|| of_name(cli, place, kind, scope))),
        }
    }
    listings.push(Box::new(|| objects(cli, place, scope)));
    answers(&listings)
}

/// Whether a name is one of a scope: the tool's own filters find more.
fn is_of(name: &str, scope: &Scope) -> bool {
    match scope {
        Scope::Run(run) => name == named(run),
        Scope::All => name
            .strip_prefix(TAG)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(crate::is_run),
    }
}

/// The entries of a listing.
fn entries(told: &Value) -> Result<&[Value]> {
    match told.as_array() {
        Some(entries) => Ok(entries),
        None => bail!("a listing is no list"),
    }
}

fn of_name(cli: &dyn Cli, place: &Place, kind: &Kind, scope: &Scope) -> Result<Vec<Left>> {
    let mut words = kind.words.to_vec();
    words.push("list");
    // With a place of its own a listing answers for all of it, or not at all; one of every place leaves out those that do not answer.
    let more: &[&str] = match kind.reach {
        Reach::Zone => &["--zones", &place.zone],
        Reach::Region => &["--regions", place.region()],
        Reach::Global if kind.name == "image" => &["--no-standard-images"],
        Reach::Global => &[],
    };
    let told = json(cli, &arguments::listing(place, &words, more, scope))?;
    let mut all = Vec::new();
    for entry in entries(&told)? {
        let name = string(entry, "/name")?;
        if is_of(&name, scope) {
            all.push(left(kind.name, name));
        }
    }
    Ok(all)
}

fn rules(cli: &dyn Cli, place: &Place, scope: &Scope) -> Result<Vec<Left>> {
    let told = json(cli, &arguments::rules(place, scope))?;
    let mut all = Vec::new();
    for entry in entries(&told)? {
        if is_of(end(&string(entry, "/network")?), scope) {
            all.push(left(RULE, string(entry, "/name")?));
        }
    }
    Ok(all)
}

fn objects(cli: &dyn Cli, place: &Place, scope: &Scope) -> Result<Vec<Left>> {
    let prefix = match scope {
        Scope::Run(run) => format!("{TAG}/{run}/"),
        Scope::All => format!("{TAG}/"),
    };
    let told = json(cli, &arguments::objects(&place.bucket, &prefix))?;
    let mut all = Vec::new();
    for entry in entries(&told)? {
        all.push(left(OBJECT, string(entry, "/name")?));
    }
    Ok(all)
}

fn left(kind: &'static str, id: String) -> Left {
    Left {
        kind,
        id,
        more: String::new(),
    }
}

/// The arguments that remove one thing.
pub fn removal(left: &Left, place: &Place) -> Result<Vec<String>> {
    if left.kind == OBJECT {
        let object = format!("gs://{}/{}", place.bucket, left.id);
        return Ok(arguments::delete_object(&object));
    }
    let Some(kind) = KINDS.iter().find(|kind| kind.name == left.kind) else {
        bail!("nothing removes {left}");
    };
    let mut words = kind.words.to_vec();
    words.push("delete");
    let more: &[&str] = match kind.reach {
        Reach::Zone => &["--zone", &place.zone],
        Reach::Region => &["--region", place.region()],
        Reach::Global => &[],
    };
    Ok(arguments::removal(place, &words, more, &left.id))
}

#[cfg(test)]
mod tests {
    use super::is_of;
    use crate::Scope;

    #[test]
    fn names_of_others_are_left_alone() {
        let run = Scope::Run("a-1".into());
        assert!(is_of("capos-cloudboot-a-1", &run));
        assert!(!is_of("capos-cloudboot-a-1-2", &run));
        assert!(!is_of("capos-cloudboot-a", &run));
        assert!(is_of("capos-cloudboot-a", &Scope::All));
        for other in [
            "capos-cloudboot",
            "capos-cloudboot-",
            "my-capos-cloudboot-a",
            "capos-cloudbooted-a",
        ] {
            assert!(!is_of(other, &Scope::All), "{other}");
        }
    }
}

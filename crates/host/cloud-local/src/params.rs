//! Parameters of a request in EC2's query form, and which of them were understood.
//!
//! Source: Amazon EC2 API Reference, "Query requests": lists are numbered from 1 (`Filter.1.Value.2`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Why a request is refused: the provider's code, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The provider's word.
    pub code: &'static str,
    /// What a person reads.
    pub message: String,
}

impl Refusal {
    /// A refusal of what was asked.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
        }
    }
}

/// The longest list that is looked at.
const LONGEST: usize = 200;

/// The parameters. Each that nobody asked for is one that was not understood.
#[derive(Debug)]
pub struct Params {
    values: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
}

impl Params {
    /// Those of a body.
    pub fn read(body: &[u8]) -> Self {
        Self {
            values: form_urlencoded::parse(body).into_owned().collect(),
            used: RefCell::default(),
        }
    }

    /// One that may be there.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?;
        self.used.borrow_mut().insert(name.to_owned());
        Some(value)
    }

    /// One that must be there.
    pub fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| {
            Refusal::new(
                "MissingParameter",
                format!("The request must contain the parameter {name}"),
            )
        })
    }

    /// One that can only have this value: the server does nothing else.
    pub fn only(&self, name: &str, value: &str) -> Result<(), Refusal> {
        match self.get(name) {
            Some(found) if found != value => Err(Refusal::new(
                "InvalidParameterValue",
                format!("{name} is {found}; this server knows {value} alone"),
            )),
            _ => Ok(()),
        }
    }

    /// The simple values of a numbered list.
    pub fn list(&self, name: &str) -> Vec<String> {
        (1..=LONGEST)
            .map_while(|number| self.get(&format!("{name}.{number}")))
            .map(str::to_owned)
            .collect()
    }

    /// The prefixes of a numbered list whose entries have fields.
    pub fn entries(&self, name: &str) -> Vec<String> {
        let starts = |prefix: &str| {
            self.values
                .range(prefix.to_owned()..)
                .next()
                .is_some_and(|(key, _)| key.starts_with(prefix))
        };
        (1..=LONGEST)
            .map(|number| format!("{name}.{number}."))
            .take_while(|prefix| starts(prefix))
            .collect()
    }

    /// Refuses the request where something in it was not understood.
    pub fn finish(&self) -> Result<(), Refusal> {
        let used = self.used.borrow();
        match self.values.keys().find(|name| !used.contains(*name)) {
            Some(name) => Err(Refusal::new(
                "UnknownParameter",
                format!("The parameter {name} is not recognized"),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn lists_are_read_and_what_nobody_asked_for_is_refused() {
        let params = Params::read(b"A=1&L.1=x&L.2=y&F.1.Name=n&F.1.Value.1=v%20w&Z=0");
        assert_eq!(params.get("A"), Some("1"));
        assert_eq!(params.list("L"), ["x", "y"]);
        let entries = params.entries("F");
        assert_eq!(entries, ["F.1."]);
        assert_eq!(params.get("F.1.Name"), Some("n"));
        assert_eq!(params.list("F.1.Value"), ["v w"]);
        assert_eq!(params.finish().map_err(|r| r.code), Err("UnknownParameter"));
        assert_eq!(params.get("Z"), Some("0"));
        assert_eq!(params.finish(), Ok(()));
        assert!(params.need("B").is_err());
        assert!(params.only("A", "2").is_err());
    }
}

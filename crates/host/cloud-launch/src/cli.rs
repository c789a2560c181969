//! A command-line tool and what it says.

use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What a tool said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Whether it ended well.
    pub is_good: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs one provider's tool.
pub trait Cli: Sync {
    /// Runs it with these arguments until it ends.
    ///
    /// # Errors
    /// Where it cannot be started, or does not end in time.
    fn run(&self, arguments: &[String]) -> Result<Said>;
}

/// A tool that ended badly: the provider's code where there is one, and what it said.
#[derive(Debug)]
pub struct Refused {
    /// The provider's word (`VcpuLimitExceeded`); empty where the tool told none.
    pub code: String,
    /// Its last sentence.
    pub message: String,
    /// What was asked, without values.
    pub asked: String,
}

/// Amazon's codes for a key or a session that it does not take.
const CREDENTIALS: [&str; 9] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.message)
    }
}

impl Refused {
    /// The code of an error that is a refusal.
    #[must_use]
    pub fn code_of(error: &anyhow::Error) -> &str {
        error
            .downcast_ref::<Self>()
            .map_or("", |refused| refused.code.as_str())
    }

    /// Whether an error says that the provider does not take the credentials, or not any more: no second try helps.
    ///
    /// Source: Amazon EC2 API Reference, "Error codes" (client errors), and Amazon S3 API Reference, "Error responses"; Google's APIs
    /// answer 401 with one sentence.
    #[must_use]
    pub fn is_of_credentials(error: &anyhow::Error) -> bool {
        error.downcast_ref::<Self>().is_some_and(|refused| {
            CREDENTIALS.contains(&refused.code.as_str())
                || refused
                    .message
                    .contains("invalid authentication credentials")
        })
    }
}

/// Reads the code out of `An error occurred (CODE) when calling the NAME operation: MESSAGE`, as botocore writes it.
fn code(line: &str) -> &str {
    line.split_once("An error occurred (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map_or("", |(code, _)| code)
}

/// Runs the tool; what it says on standard output, if it ended well.
///
/// # Errors
/// [`Refused`] where it did not.
pub(crate) fn text(cli: &dyn Cli, arguments: &[String]) -> Result<String> {
    let said = cli.run(arguments)?;
    if said.is_good {
        return Ok(said.out);
    }
    let mut lines = said.err.lines().rev().map(str::trim);
    let message = lines.find(|line| !line.is_empty()).unwrap_or("no reason");
    let asked: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .take_while(|word| !word.starts_with('-') && !word.contains('/'))
        .collect();
    Err(Refused {
        code: code(message).to_owned(),
        message: message.to_owned(),
        asked: asked.join(" "),
    }
    .into())
}

/// The same, where the answer is JSON. No answer at all is an empty object: listings of nothing say nothing.
///
/// # Errors
/// The same, and where it is not JSON.
pub(crate) fn json(cli: &dyn Cli, arguments: &[String]) -> Result<Value> {
    let text = text(cli, arguments)?;
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_str(&text).with_context(|| format!("{arguments:?} answered no JSON"))
}

/// A text inside an answer.
///
/// # Errors
/// Where there is none.
pub(crate) fn string(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    let found = found.filter(|text| !text.is_empty());
    found
        .map(str::to_owned)
        .with_context(|| format!("the answer has no {pointer}"))
}

/// A list inside an answer; one that is not there has no entries.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Arguments out of words.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cli, Refused, Said, json, text};
    use anyhow::Result;

    struct Canned(Said);

    impl Cli for Canned {
        fn run(&self, _: &[String]) -> Result<Said> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn a_refusal_has_its_code_and_its_sentence() {
        let err = "\nAn error occurred (VcpuLimitExceeded) when calling the RunInstances operation: You have too many.\n";
        let cli = Canned(Said {
            err: err.to_owned(),
            ..Said::default()
        });
        let asked = ["ec2", "run-instances", "--image-id", "ami-1"].map(str::to_owned);
        let error = text(&cli, &asked).err();
        assert_eq!(
            error.as_ref().map(Refused::code_of),
            Some("VcpuLimitExceeded")
        );
        let told = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(told.starts_with("ec2 run-instances: An error occurred"));
        assert!(!told.contains("ami-1"));
    }

    #[test]
    fn no_answer_is_an_empty_one_and_noise_is_none() {
        let said = |out: &str| {
            Canned(Said {
                is_good: true,
                out: out.to_owned(),
                ..Said::default()
            })
        };
        assert!(json(&said("\n"), &[]).is_ok_and(|value| value.as_object().is_some()));
        assert!(json(&said("welcome"), &[]).is_err());
    }
}

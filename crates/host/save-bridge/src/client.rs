//! Asking over HTTP: the way to providers, and the client's way to the bridge.

use std::time::Duration;

use save_core::{Fault, Wire};
use ureq::Agent;
use ureq::http::{Method, Request};

/// The longest answer of a provider: a listing.
const MAX_ANSWER: u64 = 8 << 20;

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// 200 and so on.
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// How long the other end asks to be left alone.
    #[must_use]
    pub fn retry_after_ms(&self) -> u32 {
        let seconds = self
            .header("retry-after")
            .and_then(|text| text.parse::<u32>().ok());
        seconds.map_or(1000, |seconds| seconds.min(3600) * 1000)
    }
}

/// Asks, with one bound on the time of each question.
#[derive(Clone, Debug)]
pub struct Http(Agent);

impl Http {
    /// With that bound.
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(bound))
            .max_redirects(0)
            .proxy(None)
            // A connection that was kept may be dead by now: a write on it would count as lost.
            .max_idle_connections(0)
            .build();
        Self(config.new_agent())
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// [`Fault::Busy`] where nobody was there to ask, [`Fault::Lost`] where no whole answer came.
    pub fn ask(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Response, Fault> {
        let method: Method = method.parse().map_err(|_| Fault::Damaged)?;
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let end = match body {
            Some(body) => self.0.run(request.body(body).map_err(|_| Fault::Damaged)?),
            None => self.0.run(request.body(()).map_err(|_| Fault::Damaged)?),
        };
        let mut response = end.map_err(|error| fault(&error))?;
        let names = response.headers().iter();
        let headers = names
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let headers = headers.collect();
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec();
        Ok(Response {
            status,
            headers,
            body: body.map_err(|_| Fault::Lost)?,
        })
    }
}

fn fault(error: &ureq::Error) -> Fault {
    let nobody = match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    };
    match nobody {
        true => Fault::Busy {
            retry_after_ms: 1000,
        },
        false => Fault::Lost,
    }
}

/// A client's way to a bridge.
#[derive(Clone, Debug)]
pub struct BridgeWire {
    http: Http,
    url: String,
    token: String,
}

impl BridgeWire {
    /// To the bridge at that address, with that token.
    #[must_use]
    pub fn new(address: &str, token: &str, bound: Duration) -> Self {
        Self {
            http: Http::new(bound),
            url: format!("{address}/v1/save"),
            token: format!("Bearer {token}"),
        }
    }
}

impl Wire for BridgeWire {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let headers = [("authorization", self.token.as_str())];
        let response = self.http.ask("POST", &self.url, &headers, Some(call))?;
        match response.status {
            200 => Ok(response.body),
            // The call may have been done before these were said.
            429 | 500..600 => Err(Fault::Busy {
                retry_after_ms: response.retry_after_ms(),
            }),
            409 | 412 => Err(Fault::Lost),
            _ => Err(Fault::Damaged),
        }
    }
}

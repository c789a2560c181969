//! Standing in where there is no device.

use sdk::stub::{self, Answered};
use sdk::{Call, Endpoint, Error, Received, Refusal, Service, serve};

/// Refuses every call for the same reason.
#[derive(Debug)]
pub struct Absent(pub Refusal);

impl Service for Absent {
    fn call(&mut self, _: Received<'_>, call: Call<'_>) -> Answered {
        stub::refuse(call, self.0)
    }
}

/// Refuses every call on `endpoint` for the same reason, until the endpoint is gone.
///
/// # Errors
/// Always: the refusal of the receive that ended it.
pub fn refuse_all(endpoint: &Endpoint, refusal: Refusal) -> Result<(), Error> {
    Err(serve(sdk::Interface::object(endpoint), &mut Absent(refusal)).into())
}

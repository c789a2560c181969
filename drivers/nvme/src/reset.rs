//! Stopping the controller, and the proof that it stopped (Base 1.4, 3.1.5 and 7.3.2).

use dma_ledger::ResetProof;
use driver_core::{BrokerIo, Poll, Refusal, Step};
use nvme_format::regs::{self, Cap, Cc, Csts};
use sabotage::sabotage;

/// How long to wait before looking at CSTS again.
const POLL_NS: u64 = 100_000;

/// How far a reset has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// The controller was on its way up. Clearing CC.EN before CSTS.RDY is set has no defined result, so wait for that
    /// first, as long as the controller may take.
    ComingUp { deadline_ns: u64, timeout_ns: u64 },
    /// CC.EN was cleared.
    Stopping { deadline_ns: u64 },
    /// It cannot be done; nothing stands proven.
    Impossible(Refusal),
    /// A sabotage alone: claims to have stopped without having looked.
    Claimed,
}

/// Begins a reset from whatever state the controller is in.
pub(crate) fn begin(io: &dyn BrokerIo) -> Reset {
    if sabotage!(RECEIPT_WITHOUT_CSTS) {
        return Reset::Claimed;
    }
    try_begin(io).unwrap_or_else(Reset::Impossible)
}

fn try_begin(io: &dyn BrokerIo) -> Result<Reset, Refusal> {
    let (cc, csts) = status(io)?;
    let timeout_ns = capabilities(io)?.timeout_ns();
    let deadline_ns = io.now_ns().saturating_add(timeout_ns);
    if cc.is_enabled() && !csts.ready() && !csts.fatal() {
        return Ok(Reset::ComingUp {
            deadline_ns,
            timeout_ns,
        });
    }
    disable(io, cc)?;
    Ok(Reset::Stopping { deadline_ns })
}

/// Looks whether the controller has stopped.
pub(crate) fn poll(io: &dyn BrokerIo, reset: &mut Reset) -> Poll {
    match *reset {
        Reset::Impossible(refusal) => Poll::Failed(refusal),
        Reset::ComingUp {
            deadline_ns,
            timeout_ns,
        } => coming_up(io, deadline_ns, timeout_ns, reset),
        Reset::Stopping { deadline_ns } => stopping(io, deadline_ns),
        Reset::Claimed => Poll::Done(Step::Stopped(ResetProof::CstsRdyZero)),
    }
}

fn coming_up(io: &dyn BrokerIo, deadline_ns: u64, timeout_ns: u64, reset: &mut Reset) -> Poll {
    let now_ns = io.now_ns();
    let (cc, csts) = match status(io) {
        Ok(both) => both,
        Err(refusal) => return Poll::Failed(refusal),
    };
    let late = now_ns >= deadline_ns;
    if !csts.ready() && !csts.fatal() && !late {
        return Poll::Pending { after_ns: POLL_NS };
    }
    if let Err(refusal) = disable(io, cc) {
        return Poll::Failed(refusal);
    }
    if late && !csts.ready() && !csts.fatal() {
        // It broke the rule that it gets ready in its time: now CSTS.RDY = 0 says nothing, and it takes a stronger reset.
        return Poll::Failed(Refusal::TimedOut);
    }
    *reset = Reset::Stopping {
        deadline_ns: now_ns.saturating_add(timeout_ns),
    };
    Poll::Pending { after_ns: POLL_NS }
}

fn stopping(io: &dyn BrokerIo, deadline_ns: u64) -> Poll {
    // The clock first: a look that came late still counts.
    let now_ns = io.now_ns();
    match is_stopped(io) {
        Err(refusal) => Poll::Failed(refusal),
        Ok(true) => Poll::Done(Step::Stopped(ResetProof::CstsRdyZero)),
        Ok(false) if now_ns >= deadline_ns => Poll::Failed(Refusal::TimedOut),
        Ok(false) => Poll::Pending { after_ns: POLL_NS },
    }
}

fn disable(io: &dyn BrokerIo, cc: Cc) -> Result<(), Refusal> {
    let registers = io.registers(0)?;
    Ok(registers.write32(regs::CC, cc.cleared().0)?)
}

/// Reads CC and CSTS.
///
/// # Errors
/// `DeviceError` when the device is gone: then every register reads as all ones, or as zeros where nobody answers for
/// the address, and nothing proves anything. The version is neither in any controller.
pub(crate) fn status(io: &dyn BrokerIo) -> Result<(Cc, Csts), Refusal> {
    let registers = io.registers(0)?;
    let cc = registers.read32(regs::CC)?;
    let csts = Csts(registers.read32(regs::CSTS)?);
    let version = registers.read32(regs::VS)?;
    if cc == regs::GONE || csts.gone() || version == 0 {
        return Err(Refusal::DeviceError);
    }
    Ok((Cc(cc), csts))
}

/// Whether CC.EN and CSTS.RDY both read as 0.
///
/// # Errors
/// As [`status`].
pub(crate) fn is_stopped(io: &dyn BrokerIo) -> Result<bool, Refusal> {
    status(io).map(|(cc, csts)| !cc.is_enabled() && !csts.ready())
}

/// Reads CAP.
///
/// # Errors
/// `DeviceError` when the device is gone.
pub(crate) fn capabilities(io: &dyn BrokerIo) -> Result<Cap, Refusal> {
    let cap = io.registers(0)?.read64(regs::CAP)?;
    if cap == u64::MAX {
        Err(Refusal::DeviceError)
    } else {
        Ok(Cap(cap))
    }
}

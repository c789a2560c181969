//! Templates let through that the broker refuses, to show that the smokes notice. Exists in the sabotage kernel alone.

use driver_core::BrokerIo;
use nvme_format::Command;
use nvme_format::template::{self, Limits, QueueKind, TemplateError, Transfer};

/// NVMe Base 1.4, 5.23: it changes the size of blocks under the broker's feet.
const FORMAT_NVM: u8 = 0x80;

type Admitted = Result<(Command, Transfer), TemplateError>;

/// What the broker decides with the chosen check left out.
pub(crate) fn admit(
    io: &dyn BrokerIo,
    kind: QueueKind,
    template: &[u8],
    limits: &Limits<'_>,
    admitted: Admitted,
) -> Admitted {
    let Some(command) = Command::parse(template) else {
        return admitted;
    };
    match admitted {
        Err(TemplateError::Opcode)
            if command.opcode == FORMAT_NVM && io.sabotage("let-format-through") =>
        {
            Ok((command, Transfer::Nothing))
        }
        Err(TemplateError::Selector) if io.sabotage("any-selector") => {
            Ok((command, Transfer::Nothing))
        }
        Err(TemplateError::Bits) if io.sabotage("any-template-bit") => {
            let plain = Command {
                flags: 0,
                cid: 0,
                cdw2: 0,
                cdw3: 0,
                mptr: 0,
                prp1: 0,
                prp2: 0,
                ..command
            };
            let (_, transfer) = template::admit(kind, &plain.to_bytes(), limits)?;
            Ok((command, transfer))
        }
        other => other,
    }
}

//! Templates let through that the broker refuses, to show that the smokes notice: in production this is the identity.

use nvme_format::Command;
use nvme_format::template::{self, Limits, QueueKind, TemplateError, Transfer};
use sabotage::sabotage;

/// NVMe Base 1.4, 5.23: it changes the size of blocks under the broker's feet.
const FORMAT_NVM: u8 = 0x80;

type Admitted = Result<(Command, Transfer), TemplateError>;

/// What the broker decides with the chosen check left out.
pub(crate) fn admit(
    kind: QueueKind,
    template: &[u8],
    limits: &Limits<'_>,
    admitted: Admitted,
) -> Admitted {
    match admitted {
        Err(TemplateError::Opcode) if sabotage!(LET_FORMAT_THROUGH) => {
            let format = Command::parse(template).filter(|one| one.opcode == FORMAT_NVM);
            format.map_or(admitted, |command| Ok((command, Transfer::Nothing)))
        }
        Err(TemplateError::Selector) if sabotage!(ANY_SELECTOR) => {
            Command::parse(template).map_or(admitted, |command| Ok((command, Transfer::Nothing)))
        }
        Err(TemplateError::Bits) if sabotage!(ANY_TEMPLATE_BIT) => {
            let Some(command) = Command::parse(template) else {
                return admitted;
            };
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

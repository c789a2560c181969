//! What the provider knows of NVMe disks: their shape and their commands.
//!
//! Owns: which namespace data make which [`Geometry`], and the commands of a disk ([`Nvm`]). Invariant: it never calls
//! anything, and never sees an address.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use nvme_format::identify::{Controller, Namespace};
use nvme_format::{COMMAND_BYTES, Command, MAX_TRANSFER_BYTES, Status, io};
use provider_core::Direction;
use provider_core::block::{Commands, Geometry};

/// The commands of one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nvm {
    /// Namespace identifier.
    pub nsid: u32,
}

impl Commands for Nvm {
    type Template = [u8; COMMAND_BYTES];

    fn transfer(&self, direction: Direction, block: u64, blocks: u32) -> Option<Self::Template> {
        let opcode = match direction {
            Direction::FromDevice => io::READ,
            Direction::ToDevice => io::WRITE,
        };
        Command::transfer(opcode, self.nsid, block, blocks).map(|command| command.to_bytes())
    }

    fn flush(&self) -> Self::Template {
        Command::flush(self.nsid).to_bytes()
    }

    fn is_success(&self, status: u16) -> bool {
        Status::from_field(status).is_success()
    }
}

/// The disk that controller and namespace make.
pub fn geometry(controller: &Controller, namespace: &Namespace) -> Geometry {
    // The broker runs controllers with a least page of 4 KiB only, so CAP.MPSMIN is 0.
    let bytes = controller.max_transfer_bytes(0, MAX_TRANSFER_BYTES);
    Geometry {
        blocks: namespace.blocks,
        block_shift: namespace.block_shift,
        command_blocks: (bytes >> namespace.block_shift).clamp(1, 65_536),
        read_only: namespace.write_protected,
        write_cache: controller.has_write_cache(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_the_namespaces() {
        let disk = Nvm { nsid: 3 };
        let write = disk.transfer(Direction::ToDevice, 7, 8).unwrap();
        let command = Command::parse(&write).unwrap();
        assert_eq!((command.opcode, command.nsid), (io::WRITE, 3));
        assert_eq!((command.cdw[0], command.cdw[2]), (7, 7));
        assert_eq!(Command::parse(&disk.flush()).unwrap().opcode, io::FLUSH);
        assert!(disk.is_success(0) && !disk.is_success(0x281));
    }

    #[test]
    fn commands_are_cut_where_the_controller_or_the_broker_stops() {
        let mut data = [0; 4096];
        data[77] = 5;
        let controller = Controller::parse(&data).unwrap();
        let namespace = Namespace {
            nsid: 3,
            blocks: 10,
            block_shift: 12,
            write_protected: true,
        };
        let disk = geometry(&controller, &namespace);
        assert_eq!(
            (disk.command_blocks, disk.read_only, disk.write_cache),
            (32, true, false)
        );
        data[77] = 0;
        data[525] = 1;
        let controller = Controller::parse(&data).unwrap();
        let namespace = Namespace {
            block_shift: 9,
            write_protected: false,
            ..namespace
        };
        let disk = geometry(&controller, &namespace);
        assert_eq!(
            (disk.command_blocks, disk.read_only, disk.write_cache),
            (8184, false, true)
        );
    }
}

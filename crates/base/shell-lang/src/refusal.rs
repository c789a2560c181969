//! What a refusal means to a person at the shell.

use ring_abi::Refusal;

const CHECK_IT: &str = "log says what; another system checks it all: fsck.fat, fsck.exfat, e2fsck, each with -n, or capos-store check";
/// Where there is no volume yet, it may be the partition table that is damaged.
const CHECK_DISK: &str = "log says what; another system checks it all: a partition table with sgdisk -v, a volume with fsck.fat, \
                          fsck.exfat, e2fsck, each with -n, or capos-store check";

/// What to do about a refusal, as the second half of a sentence; `None` where there is nothing to do.
pub const fn advice(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::NotFound => "ls shows what is there",
        Refusal::NotDirectory => "ls shows what is there",
        Refusal::IsDirectory => "ls takes a directory",
        Refusal::NoDevice => "lsblk shows the disks; start with --disk IMG to attach one",
        Refusal::Corrupt => CHECK_IT,
        Refusal::AlreadyExists => "choose another name, or rm what has it",
        Refusal::NotEmpty => "rm what is in it first",
        Refusal::NoSpace => "rm makes room; df shows how much there is",
        Refusal::ReadOnly => "lsblk shows which disks can be written, log why a volume is not",
        Refusal::DeviceError => "try again; if it stays so, log says what the driver saw",
        Refusal::TimedOut | Refusal::ServerDied | Refusal::NoReply | Refusal::Busy => {
            "the service may be restarting; try again, ps and log show how it is"
        }
        Refusal::Revoked | Refusal::Stale => "its service was restarted; try again",
        Refusal::NotSupported => "this system cannot do it",
        Refusal::NoMemory | Refusal::OverBudget => {
            "end something with kill, or start with more memory"
        }
        Refusal::Quarantined => "the device must be power-cycled: halt, then start again",
        _ => return None,
    })
}

/// What to do about a volume that cannot be had, as the second half of the sentence that says why.
pub const fn volume_advice(refusal: Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::NotSupported => {
            Some("attach a disk with a volume (mkfs.fat or capos-store mkfs makes one)")
        }
        Refusal::Corrupt => Some(CHECK_DISK),
        _ => advice(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_file_service_has_advice() {
        for refusal in [
            Refusal::NotFound,
            Refusal::NotDirectory,
            Refusal::Corrupt,
            Refusal::ServerDied,
        ] {
            assert!(advice(refusal).is_some());
        }
        assert_eq!(advice(Refusal::BadHandle), None);
        let damaged = volume_advice(Refusal::Corrupt).unwrap();
        assert!(damaged.contains("sgdisk") && damaged.contains("fsck.fat"));
        assert_ne!(
            advice(Refusal::NotSupported),
            volume_advice(Refusal::NotSupported)
        );
    }
}

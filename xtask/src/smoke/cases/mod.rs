//! The smokes, one file each. A new one is a file here and its line below; nothing else knows the list.

mod boot;
mod boot_uefi;
mod nvme_fat_read;
mod nvme_hostile;
mod provider_crash;
mod session_isolation;

//! The systems that packages are known for: how each is recognised, what it calls things, and its install command.

use std::fs;
use std::path::Path;

/// A thing that must be there, whatever package brings it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Thing {
    /// The machine emulator.
    Qemu,
    /// The Cap'n Proto compiler.
    Capnp,
    /// Copies files into FAT images.
    Mtools,
    /// Makes FAT images.
    Dosfs,
    /// `objcopy`.
    Binutils,
    /// UEFI firmware for virtual machines.
    Ovmf,
    /// Joins GRUB's core image.
    GrubTool,
    /// GRUB's files for BIOS machines.
    GrubBios,
    /// Makes ISO 9660 images.
    Xorriso,
    /// Converts disk images.
    QemuImg,
    /// Packs archives.
    Tar,
    /// A compiler for the guest where rustup has none.
    Compiler,
    /// Python with what makes a folder of its own for packages from PyPI.
    PythonVenv,
    /// A browser that shows nothing.
    Browser,
    /// OpenSSH's client.
    Ssh,
    /// Makes, examines and checks ext2, ext3 and ext4.
    Ext,
    /// Makes and checks exFAT.
    Exfat,
    /// GDB with Python.
    Debugger,
}

/// A system with packages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum System {
    /// Debian, Ubuntu and what is made of them.
    Debian,
    /// Fedora and what is made of it.
    Fedora,
    /// Red Hat Enterprise Linux and what is made of its sources.
    Rhel,
    /// Arch Linux and what is made of it.
    Arch,
    /// openSUSE.
    Suse,
    /// Alpine Linux.
    Alpine,
    /// macOS with Homebrew.
    Homebrew,
    /// None of these.
    Unknown,
}

impl System {
    /// The system that this runs on.
    pub fn here() -> Self {
        if cfg!(target_os = "macos") {
            return Self::Homebrew;
        }
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        match Self::from_os_release(&release) {
            Self::Unknown if Path::new("/etc/debian_version").exists() => Self::Debian,
            system => system,
        }
    }

    /// The system that `os-release` describes: by `ID`, then by what `ID_LIKE` names, nearest first.
    pub fn from_os_release(text: &str) -> Self {
        let words_of = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key));
            let value = value.unwrap_or_default().trim_matches(['"', '\'']);
            value.split_whitespace().collect::<Vec<_>>()
        };
        let named = words_of("ID=").into_iter().chain(words_of("ID_LIKE="));
        let known = named.map(|id| match id {
            "debian" | "ubuntu" => Self::Debian,
            "fedora" => Self::Fedora,
            "rhel" | "centos" | "rocky" | "almalinux" | "ol" => Self::Rhel,
            "arch" => Self::Arch,
            "suse" | "opensuse" => Self::Suse,
            id if id.starts_with("opensuse-") => Self::Suse,
            "alpine" => Self::Alpine,
            _ => Self::Unknown,
        });
        known
            .into_iter()
            .find(|system| *system != Self::Unknown)
            .unwrap_or(Self::Unknown)
    }

    /// The packages that bring `thing`; none where it comes with another one, or from rustup.
    pub fn packages(self, thing: Thing) -> &'static [&'static str] {
        use Thing::{
            Binutils, Browser, Capnp, Compiler, Debugger, Dosfs, Exfat, Ext, GrubBios, GrubTool,
            Mtools, Ovmf, PythonVenv, Qemu, QemuImg, Ssh, Tar, Xorriso,
        };
        match (self, thing) {
            (Self::Homebrew, Capnp) => &["capnp"],
            (_, Capnp) => &["capnproto"],
            (_, Mtools) => &["mtools"],
            (_, Dosfs) => &["dosfstools"],
            (_, Binutils) => &["binutils"],
            (Self::Homebrew, Tar | Ovmf | QemuImg) => &[],
            (Self::Homebrew, GrubTool | GrubBios) => &["i686-elf-grub"],
            (_, Tar) => &["tar"],
            (Self::Debian | Self::Unknown, Browser) => &["chromium-headless-shell"],
            (Self::Homebrew, Browser) => &[],
            (_, Browser) => &["chromium"],
            (_, Debugger) => &["gdb"],
            (Self::Alpine, Ext) => &["e2fsprogs", "e2fsprogs-extra"],
            (_, Ext) => &["e2fsprogs"],
            // Its own macOS makes such volumes with other tools.
            (Self::Homebrew, Exfat) => &[],
            (_, Exfat) => &["exfatprogs"],
            (Self::Debian | Self::Unknown | Self::Alpine, Ssh) => &["openssh-client"],
            (Self::Fedora | Self::Rhel, Ssh) => &["openssh-clients"],
            (Self::Suse | Self::Arch, Ssh) => &["openssh"],
            // macOS has one.
            (Self::Homebrew, Ssh) => &[],
            (Self::Debian | Self::Unknown, PythonVenv) => &["python3-venv"],
            (Self::Arch | Self::Homebrew, PythonVenv) => &["python"],
            (_, PythonVenv) => &["python3"],
            (Self::Debian | Self::Unknown, Compiler) => {
                &["rustc-web", "cargo-web", "rust-web-src", "lld"]
            }
            (_, Compiler) => &[],
            (Self::Debian | Self::Unknown | Self::Arch, Qemu) => &["qemu-system-x86"],
            (Self::Fedora, Qemu) => &["qemu-system-x86-core"],
            // Its `qemu-kvm` has no NVMe disk and few other devices: see the remark.
            (Self::Rhel, Qemu) => &[],
            (Self::Suse, Qemu) => &["qemu-x86"],
            (Self::Alpine, Qemu) => &["qemu-system-x86_64"],
            (Self::Homebrew, Qemu) => &["qemu"],
            (Self::Debian | Self::Unknown, QemuImg) => &["qemu-utils"],
            // Leap and older ones have qemu-img in it, newer ones ask for it.
            (Self::Suse, QemuImg) => &["qemu-tools"],
            (_, QemuImg) => &["qemu-img"],
            (Self::Debian | Self::Unknown | Self::Alpine, Ovmf) => &["ovmf"],
            (Self::Fedora | Self::Rhel | Self::Arch, Ovmf) => &["edk2-ovmf"],
            (Self::Suse, Ovmf) => &["qemu-ovmf-x86_64"],
            (Self::Arch, Xorriso) => &["libisoburn"],
            (_, Xorriso) => &["xorriso"],
            (Self::Debian | Self::Unknown, GrubTool) => &["grub-common"],
            (Self::Fedora | Self::Rhel, GrubTool) => &["grub2-tools"],
            (Self::Suse, GrubTool) => &["grub2"],
            (Self::Arch | Self::Alpine, GrubTool) => &["grub"],
            (Self::Debian | Self::Unknown, GrubBios) => &["grub-pc-bin"],
            (Self::Fedora | Self::Rhel, GrubBios) => &["grub2-pc-modules"],
            (Self::Suse, GrubBios) => &["grub2-i386-pc"],
            (Self::Alpine, GrubBios) => &["grub-bios"],
            (Self::Arch, GrubBios) => &["grub"],
        }
    }

    /// The command that installs `packages`, as a person types it; `sudo` is what goes before a command of root's.
    pub fn command(self, packages: &[&str], sudo: &str) -> Option<String> {
        let list = packages.join(" ");
        Some(match self {
            Self::Debian => format!(
                "{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends --no-remove {list}"
            ),
            Self::Fedora | Self::Rhel => format!("{sudo}dnf install --assumeyes {list}"),
            Self::Arch => format!("{sudo}pacman -S --needed --noconfirm {list}"),
            Self::Suse => format!("{sudo}zypper --non-interactive install {list}"),
            Self::Alpine => format!("{sudo}apk add {list}"),
            // Homebrew refuses to run as root.
            Self::Homebrew => format!("brew install {list}"),
            Self::Unknown => return None,
        })
    }

    /// What else a person must know or type for `thing`, beside the packages.
    pub fn remark(self, thing: Thing) -> Option<&'static str> {
        const RUSTUP: &str =
            "and for the guest: rustup target add x86_64-unknown-none x86_64-unknown-uefi";
        match (self, thing) {
            (Self::Debian | Self::Unknown, Thing::Compiler) => None,
            (_, Thing::Compiler) => Some(RUSTUP),
            (Self::Rhel, Thing::Qemu) => Some(
                "this system's own QEMU, /usr/libexec/qemu-kvm, has no NVMe disk and few of the other devices that capOS is \
                 started with: work in a container of Fedora or Debian, or build QEMU (its target x86_64-softmmu) and name it \
                 with --qemu PROGRAM or in the environment as QEMU",
            ),
            (Self::Rhel, Thing::Capnp) => Some(
                "capnproto comes from EPEL, which must be enabled first (Rocky, AlmaLinux, CentOS Stream: dnf install epel-release)",
            ),
            (Self::Homebrew, Thing::Binutils) => Some(
                "Homebrew keeps binutils out of the search path: export PATH=\"$(brew --prefix binutils)/bin:$PATH\"",
            ),
            (Self::Homebrew, Thing::Browser) => {
                Some("the page's tests need Chromium or Chrome in the search path")
            }
            (Self::Homebrew, Thing::Ovmf) => Some("UEFI firmware comes with Homebrew's qemu"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{System, Thing};
    use std::collections::BTreeSet;

    const THINGS: [Thing; 12] = [
        Thing::Qemu,
        Thing::Capnp,
        Thing::Mtools,
        Thing::Dosfs,
        Thing::Binutils,
        Thing::Ovmf,
        Thing::GrubTool,
        Thing::GrubBios,
        Thing::Xorriso,
        Thing::QemuImg,
        Thing::Tar,
        Thing::Compiler,
    ];
    /// What tests ask for: its names are those of Debian alone.
    const PEERS: [Thing; 3] = [Thing::PythonVenv, Thing::Browser, Thing::Debugger];

    #[test]
    fn systems_are_told_apart_by_os_release() {
        let of = System::from_os_release;
        assert_eq!(of("NAME=x\nID=debian\nVERSION_ID=\"12\"\n"), System::Debian);
        assert_eq!(
            of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
            System::Debian
        );
        assert_eq!(of("ID=fedora\nVARIANT_ID=server\n"), System::Fedora);
        assert_eq!(
            of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            System::Rhel
        );
        assert_eq!(
            of("ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n"),
            System::Rhel
        );
        assert_eq!(of("ID=eurolinux\nID_LIKE=\"rhel fedora\"\n"), System::Rhel);
        assert_eq!(of("ID=nobara\nID_LIKE=fedora\n"), System::Fedora);
        assert_eq!(of("ID=manjaro\nID_LIKE=arch\n"), System::Arch);
        assert_eq!(
            of("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n"),
            System::Suse
        );
        assert_eq!(of("ID=alpine\n"), System::Alpine);
        assert_eq!(of("ID=nixos\n"), System::Unknown);
        // A variant is no system, and a word inside a word is none.
        assert_eq!(of("VARIANT_ID=debian\nID=archish\n"), System::Unknown);
    }

    #[test]
    fn every_thing_comes_from_a_package_or_is_explained() {
        let known = [
            System::Debian,
            System::Fedora,
            System::Rhel,
            System::Arch,
            System::Suse,
            System::Alpine,
            System::Homebrew,
        ];
        for system in known {
            for thing in THINGS.into_iter().chain(PEERS) {
                let comes = !system.packages(thing).is_empty() || system.remark(thing).is_some();
                // These two are parts of what macOS and its qemu bring.
                let brought =
                    system == System::Homebrew && matches!(thing, Thing::Tar | Thing::QemuImg);
                assert!(comes || brought, "{system:?} {thing:?}");
            }
            let command = system.command(&["a", "b"], "sudo ").unwrap();
            assert!(command.ends_with("a b"), "{command}");
        }
        assert_eq!(System::Unknown.command(&["a"], ""), None);
    }

    /// Names of 2026-11. Only Debian's were seen to install; the others stand for what its system's lists say, untried.
    #[test]
    fn each_systems_command_is_the_one_that_works_there() {
        const COMMANDS: [(System, &str); 7] = [
            (
                System::Debian,
                "apt-get update && apt-get install --yes --no-install-recommends --no-remove binutils capnproto \
                 cargo-web dosfstools grub-common grub-pc-bin lld mtools ovmf qemu-system-x86 qemu-utils rust-web-src \
                 rustc-web tar xorriso",
            ),
            (
                System::Fedora,
                "dnf install --assumeyes binutils capnproto dosfstools edk2-ovmf grub2-pc-modules grub2-tools mtools \
                 qemu-img qemu-system-x86-core tar xorriso",
            ),
            (
                System::Rhel,
                "dnf install --assumeyes binutils capnproto dosfstools edk2-ovmf grub2-pc-modules grub2-tools mtools \
                 qemu-img tar xorriso",
            ),
            (
                System::Arch,
                "pacman -S --needed --noconfirm binutils capnproto dosfstools edk2-ovmf grub libisoburn mtools \
                 qemu-img qemu-system-x86 tar",
            ),
            (
                System::Suse,
                "zypper --non-interactive install binutils capnproto dosfstools grub2 grub2-i386-pc mtools \
                 qemu-ovmf-x86_64 qemu-tools qemu-x86 tar xorriso",
            ),
            (
                System::Alpine,
                "apk add binutils capnproto dosfstools grub grub-bios mtools ovmf qemu-img qemu-system-x86_64 tar xorriso",
            ),
            (
                System::Homebrew,
                "brew install binutils capnp dosfstools i686-elf-grub mtools qemu xorriso",
            ),
        ];
        for (system, expected) in COMMANDS {
            let packages: BTreeSet<&str> = THINGS
                .iter()
                .flat_map(|thing| system.packages(*thing).iter().copied())
                .collect();
            let packages: Vec<&str> = packages.into_iter().collect();
            assert_eq!(system.command(&packages, "").as_deref(), Some(expected));
        }
    }

    #[test]
    fn root_needs_no_sudo() {
        assert_eq!(
            System::Alpine.command(&["mtools"], "").unwrap(),
            "apk add mtools"
        );
        assert_eq!(
            System::Arch.command(&["mtools"], "sudo ").unwrap(),
            "sudo pacman -S --needed --noconfirm mtools"
        );
    }
}

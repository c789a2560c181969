//! What a driver takes: broker, provider, page, and what a service takes beside that.

use anyhow::{Context, Result};

use crate::new::names::Name;
use crate::new::plan::Plan;
use crate::new::service::{self, Smoke};
use crate::project::Project;

/// What kind of device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Registers of its own.
    Registers,
    /// A virtio device.
    Virtio,
}

/// Everything for a driver.
pub fn plan<'a>(project: &'a Project, name: &Name, kind: Kind) -> Result<Plan<'a>> {
    let mut plan = Plan::new(project, name);
    broker(project, &mut plan, kind)?;
    provider(&mut plan, kind)?;
    service::interface(
        &mut plan,
        name,
        include_str!("templates/driver/schema.capnp.in"),
    )?;
    plan.set("@extra@", qemu_arguments(kind));
    let templates = Smoke {
        client: include_str!("templates/driver/client.rs.in"),
        manifest: include_str!("templates/driver/manifest.capnp.in"),
        case: include_str!("templates/driver/case.rs.in"),
        snapshot: include_str!("templates/driver/snapshot.snap.in"),
    };
    service::smoke(&mut plan, name, &templates)?;
    lists(&mut plan, name)?;
    page(&mut plan, kind)?;
    Ok(plan)
}

/// The crate in `drivers/`.
fn broker(project: &Project, plan: &mut Plan<'_>, kind: Kind) -> Result<()> {
    let (needs, tests): (&[&str], &[&str]) = match kind {
        Kind::Registers => (&["dma-ledger", "driver-core", "linkme"], &[]),
        Kind::Virtio => (
            &["driver-core", "linkme", "virtio-transport"],
            &["mmio", "pci-format", "units", "virtio-format"],
        ),
    };
    let mut sections = vec![("dependencies", needs)];
    if !tests.is_empty() {
        sections.push(("dev-dependencies", tests));
    }
    plan.make_package(
        "drivers/@name@",
        "The @name@ broker: the only code that writes an address such a device will use",
        "tier = \"T4\"",
        &sections,
    )?;
    let (library, test) = match kind {
        Kind::Registers => (
            include_str!("templates/driver/lib.rs.in"),
            include_str!("templates/driver/test.rs.in"),
        ),
        Kind::Virtio => (
            include_str!("templates/driver/virtio_lib.rs.in"),
            include_str!("templates/driver/virtio_test.rs.in"),
        ),
    };
    let transport = project.show(&project.member("virtio-transport")?.dir);
    plan.set(
        "@model@",
        format!("../../../{transport}/tests/model/mod.rs"),
    );
    plan.make("drivers/@name@/src/lib.rs", library)?;
    plan.make("drivers/@name@/tests/device.rs", test)?;
    if kind == Kind::Registers {
        plan.make(
            "drivers/@name@/src/regs.rs",
            include_str!("templates/driver/regs.rs.in"),
        )?;
        plan.make(
            "drivers/@name@/src/broker.rs",
            include_str!("templates/driver/broker.rs.in"),
        )?;
    }
    Ok(())
}

/// The process in `services/`.
fn provider(plan: &mut Plan<'_>, kind: Kind) -> Result<()> {
    let (needs, main): (&[&str], _) = match kind {
        Kind::Registers => (
            &["provider", "provider-core", "sdk"],
            include_str!("templates/driver/provider_main.rs.in"),
        ),
        Kind::Virtio => (
            &["provider", "provider-core", "sdk", "virtio-client"],
            include_str!("templates/driver/virtio_provider_main.rs.in"),
        ),
    };
    plan.make_package(
        "services/system/@name@-provider",
        "The userspace half of the driver @name@",
        "tier = \"S\"\nguest = true",
        &[("dependencies", needs)],
    )?;
    plan.make("services/system/@name@-provider/src/main.rs", main)?;
    plan.make(
        "services/system/@name@-provider/src/service.rs",
        include_str!("templates/driver/provider_service.rs.in"),
    )
}

/// Everywhere that drivers are listed.
fn lists(plan: &mut Plan<'_>, name: &Name) -> Result<()> {
    plan.insert(
        "Cargo.toml",
        |line| line.contains(".path = \"drivers/"),
        "@name@.path = \"drivers/@name@\"",
    )?;
    plan.insert(
        "crates/kernel/driver-table/Cargo.toml",
        |line| {
            line.ends_with(".workspace = true")
                && !line.starts_with("driver-core")
                && is_dependency(line)
        },
        "@name@.workspace = true",
    )?;
    plan.insert(
        "crates/kernel/driver-table/src/lib.rs",
        |line| line.starts_with("use ") && line.ends_with(" as _;"),
        "use @crate@ as _;",
    )?;
    let quoted = format!("\"{}\"", name.kebab());
    plan.change("manifests/common/drivers.capnp", |text| {
        add_to_list(text, &quoted)
    })?;
    plan.insert(
        "docs/ARCHITECTURE.md",
        |line| line.starts_with("| `drivers/"),
        "| `drivers/@name@` | what a device does that `@name@` drives | starts a transfer but with an admitted segment |",
    )?;
    plan.insert(
        "docs/ARCHITECTURE.md",
        |line| line.starts_with("| `services/system/") && !line.contains("`services/smoke/"),
        "| `services/system/@name@-provider` | bringing such a device up, and what it serves as `@Type@` | sees an address |",
    )
}

/// Not one of the package's own fields.
fn is_dependency(line: &str) -> bool {
    const FIELDS: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
    !FIELDS.iter().any(|field| {
        line.strip_prefix(field)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Adds to the one list of texts, in order.
fn add_to_list(text: &str, quoted: &str) -> Option<String> {
    let start = text.find("= [")? + 3;
    let end = start + text.get(start..)?.find(']')?;
    let mut names: Vec<&str> = text.get(start..end)?.split(',').map(str::trim).collect();
    names.retain(|name| !name.is_empty());
    names.push(quoted);
    names.sort_unstable();
    Some(format!(
        "{}{}{}",
        text.get(..start)?,
        names.join(", "),
        text.get(end..)?
    ))
}

/// The device of the smoke, and what QEMU writes down of its other side.
fn qemu_arguments(kind: Kind) -> &'static str {
    match kind {
        Kind::Registers => {
            "\"-netdev\", \"hubport,id=net,hubid=0\",\n            \
             \"-device\", \"rtl8139,netdev=net,romfile=\",\n            \
             \"-object\", \"filter-dump,id=dump,netdev=net,file={work}/arrived\","
        }
        Kind::Virtio => {
            "\"-chardev\", \"file,id=side,path={work}/arrived\",\n            \
             \"-device\", \"virtio-serial-pci\",\n            \
             \"-device\", \"virtconsole,chardev=side\","
        }
    }
}

/// The device's page.
fn page(plan: &mut Plan<'_>, kind: Kind) -> Result<()> {
    let (matches, source, method, configure, queue, proof) = match kind {
        Kind::Registers => (
            "PCI vendor 0x10ec, device 0x8139 (QEMU: `-device rtl8139`)",
            "Realtek, \"RTL8139D(L) data sheet\" 1.3",
            "Device.configure()",
            "Nothing can be chosen.",
            "One, of kind 0 and index 0, with four places: frames that the device reads from memory.",
            "`reset-bit-clear`: the command register's reset bit was read as 0 after it was set, from a device that does not \
             read as all ones.",
        ),
        Kind::Virtio => (
            "PCI vendor 0x1af4, devices 0x1043 and 0x1003 (QEMU: `-device virtio-serial-pci`)",
            "Virtio 1.2, section 5.3",
            "Device.configureVirtio(features, queues, depth)",
            "As for [every virtio device](virtio.md).",
            "Queue 1: buffers that the device reads. Queue 0, which it would fill, refuses `notSupported`.",
            "As for [every virtio device](virtio.md): the device status was read as 0.",
        ),
    };
    plan.set("@matches@", matches);
    plan.set("@source@", source);
    plan.set("@method@", method);
    plan.set("@configure@", configure);
    plan.set("@queue@", queue);
    plan.set("@proof@", proof);
    plan.make(
        "docs/devices/@name@.md",
        include_str!("templates/driver/page.md.in"),
    )?;
    plan.change("docs/SUMMARY.md", |text| {
        let at = text.find("- [Benchmarks]")?;
        let (before, after) = text.split_at_checked(at)?;
        Some(format!(
            "{before}- [@Type@: the driver @name@](devices/@name@.md)\n{after}"
        ))
    })?;
    plan.fill_changed("docs/SUMMARY.md")
        .context("it was just changed")
}

#[cfg(test)]
mod tests {
    use super::{add_to_list, is_dependency};

    #[test]
    fn the_list_of_drivers_stays_in_order() {
        let text = "const linked :List(Text) = [\"edu\", \"nvme\"];\n";
        let added = add_to_list(text, "\"fan\"").unwrap();
        assert_eq!(
            added,
            "const linked :List(Text) = [\"edu\", \"fan\", \"nvme\"];\n"
        );
        assert_eq!(add_to_list("nothing", "\"fan\""), None);
    }

    #[test]
    fn fields_of_a_package_are_no_dependencies() {
        assert!(!is_dependency("version.workspace = true"));
        assert!(is_dependency("edu.workspace = true"));
    }
}

//! A device in a process of its own, which nobody claims.

use crate::qemu::Feature;
use crate::smoke::case::Smoke;
use crate::smoke::models::{DeviceModel, ModelKind};

inventory::submit! {
    Smoke {
        name: "device-model",
        question: "Is a device in another process found on the bus, and refused memory while nobody has claimed it?",
        rows: &[],
        manifest: "smoke/boot",
        cmdline: "show=pci",
        model: "q35,memory-backend=mem",
        memory_mib: 128,
        needs: Some(Feature::VfioUser),
        device_model: Some(DeviceModel {
            socket: "hostile",
            kind: ModelKind::Stranger(&["write 0x100000 00112233", "read 0x100000 16", "forge 0xfee00000 0x4055", "interrupt 0"]),
            reports: &[
                "write way=Message address=0x100000 bytes=4 refused",
                "read way=Message address=0x100000 bytes=16 refused",
                "forge address=0xfee00000 data=0x4055 refused",
                "interrupt vector=0 failed why=NoVector",
            ],
        }),
        extra: &[
            "-object", "memory-backend-memfd,id=mem,size=128M,share=on",
            "-device", r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/hostile","type":"unix"}}"#,
        ],
        required: &[
            "@pci.function at=\"0000:00:05.0\" id=\"1d1d:0bad\" msix=4",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

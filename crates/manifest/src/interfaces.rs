//! The interfaces that the schemas declare, by name.

/// Every interface of `schema/`: name and number, sorted by name.
pub const INTERFACES: &[(&str, u64)] = &[
    ("AnyFacet", 0xd1c0_a5e5_b0a7_010c),
    ("BlockDevice", 0xd1c0_a5e5_b0a7_0301),
    ("BlockSession", 0xd1c0_a5e5_b0a7_0302),
    ("BootPackage", 0xd1c0_a5e5_b0a7_0112),
    ("Console", 0xd1c0_a5e5_b0a7_0101),
    ("Device", 0xd1c0_a5e5_b0a7_0202),
    ("DeviceMmio", 0xd1c0_a5e5_b0a7_0203),
    ("DeviceQueue", 0xd1c0_a5e5_b0a7_0207),
    ("DeviceRegistry", 0xd1c0_a5e5_b0a7_0201),
    ("Directory", 0xd1c0_a5e5_b0a7_0402),
    ("DmaBuffer", 0xd1c0_a5e5_b0a7_0206),
    ("DmaPool", 0xd1c0_a5e5_b0a7_0205),
    ("Endpoint", 0xd1c0_a5e5_b0a7_010b),
    ("EndpointFactory", 0xd1c0_a5e5_b0a7_010a),
    ("EntropySource", 0xd1c0_a5e5_b0a7_0105),
    ("File", 0xd1c0_a5e5_b0a7_0403),
    ("Interrupt", 0xd1c0_a5e5_b0a7_0204),
    ("LogReader", 0xd1c0_a5e5_b0a7_0103),
    ("LogSink", 0xd1c0_a5e5_b0a7_0102),
    ("MemoryObject", 0xd1c0_a5e5_b0a7_0107),
    ("ProcessControl", 0xd1c0_a5e5_b0a7_0110),
    ("ProcessHandle", 0xd1c0_a5e5_b0a7_010e),
    ("ProcessSpawner", 0xd1c0_a5e5_b0a7_010d),
    ("SystemControl", 0xd1c0_a5e5_b0a7_0111),
    ("SystemInfo", 0xd1c0_a5e5_b0a7_010f),
    ("ThreadHandle", 0xd1c0_a5e5_b0a7_0109),
    ("ThreadSpawner", 0xd1c0_a5e5_b0a7_0108),
    ("Timer", 0xd1c0_a5e5_b0a7_0104),
    ("VirtualMemory", 0xd1c0_a5e5_b0a7_0106),
    ("Volume", 0xd1c0_a5e5_b0a7_0401),
];

/// The number of an interface, with its name as it stands in the schema.
pub fn interface_id(name: &str) -> Option<(&'static str, u64)> {
    let idx = INTERFACES.binary_search_by(|(n, _)| (*n).cmp(name)).ok()?;
    INTERFACES.get(idx).copied()
}

/// The name of an interface.
pub fn interface_name(id: u64) -> Option<&'static str> {
    INTERFACES.iter().find(|(_, i)| *i == id).map(|(n, _)| *n)
}

//! Clients of every interface, over handles of this process.

use rt::Cap;
use schema::{audit, block, device, diagnostics, net, process, random, storage};

macro_rules! clients {
    ($($name:ident = $file:ident::$module:ident;)*) => { $(
        #[doc = concat!("A client of the interface `", stringify!($name), "`.")]
        pub type $name = $file::$module::Client<Cap>;
    )* };
}

clients! {
    AnyFacet = process::any_facet;
    AuditAdmission = audit::audit_admission;
    AuditBroker = audit::audit_broker;
    AuditGate = audit::audit_gate;
    Bell = process::bell;
    BellRinger = process::bell_ringer;
    BlockDevice = block::block_device;
    BlockSession = block::block_session;
    BootMedium = storage::boot_medium;
    BootPackage = process::boot_package;
    Console = process::console;
    ConsoleSession = diagnostics::console_session;
    Device = device::device;
    DeviceMmio = device::device_mmio;
    DeviceQueue = device::device_queue;
    DeviceRegistry = device::device_registry;
    Directory = storage::directory;
    DmaBuffer = device::dma_buffer;
    DmaPool = device::dma_pool;
    Endpoint = process::endpoint;
    EndpointFactory = process::endpoint_factory;
    EntropySource = process::entropy_source;
    File = storage::file;
    HardwareAuditLog = audit::hardware_audit_log;
    HardwareRandom = random::hardware_random;
    Interrupt = device::interrupt;
    LogReader = process::log_reader;
    LogSink = process::log_sink;
    MachineInspector = diagnostics::machine_inspector;
    MemoryObject = process::memory_object;
    Nic = net::nic;
    NicSession = net::nic_session;
    ProcessControl = process::process_control;
    ProcessHandle = process::process_handle;
    ProcessSpawner = process::process_spawner;
    ProcessTrace = process::process_trace;
    ProcessTracer = process::process_tracer;
    SystemControl = process::system_control;
    SystemInfo = process::system_info;
    ThreadHandle = process::thread_handle;
    ThreadSpawner = process::thread_spawner;
    Timer = process::timer;
    VirtualMemory = process::virtual_memory;
    Volume = storage::volume;
}

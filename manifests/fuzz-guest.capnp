@0xd1c0a5e5b0a71f57;
# The system of `cargo xtask fuzz-guest`: everything the kernel has to give, to one program that gives it to attackers.

using M = import "../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "fuzz-guest",
  exitWith = "fuzz",
  drivers = import "common/drivers.capnp".linked,
  services = [
    ( name = "fuzz", binary = "fuzz-guest", arguments = ["conduct"], priority = 24,
      limits = (memoryPages = 65536),
      grants = [
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "logReader", kernel = logReader),
        (name = "timer", kernel = timer),
        (name = "entropySource", kernel = entropySource),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
        (name = "processControl", kernel = processControl),
        (name = "deviceRegistry", kernel = deviceRegistry),
        (name = "bootPackage", kernel = bootPackage),
        (name = "machineInspector", kernel = machineInspector),
        (name = "hardwareAuditLog", kernel = hardwareAuditLog),
        (name = "auditGate", kernel = auditGate),
        (name = "auditBroker", kernel = auditBroker),
      ] ),
  ],
);

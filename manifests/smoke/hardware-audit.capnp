@0xd1c0a5e5b0a710a0;
# A program with one NVMe function and everything about the audit log.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-hardware-audit",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-hardware-audit",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (device = (driver = "nvme", nth = 0)),
        (name = "log", kernel = hardwareAuditLog),
        (name = "gate", kernel = auditGate),
        (name = "broker", kernel = auditBroker),
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
      ] ),
  ],
);

@0xd1c0a5e5b0a710a1;
# The audit service on a disk of its own, for two segments.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-audit-persistence",
  exitWith = "audit",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "nvme", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "audit", binary = "audit", priority = 16,
      arguments = [
        "key=development:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "batch=5", "segments=2" ],
      grants = [
        (export = (service = "nvme", export = "block")),
        (name = "log", kernel = hardwareAuditLog),
        (kernel = entropySource),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

@0xd1c0a5e5b0a710a2;
# The audit service on one partition, and as the reader of ten others.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-audit-tamper",
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
        "batch=3", "segments=4", "check=1", "check=2", "check=3", "check=4", "check=5", "check=6", "check=7", "check=8", "check=9", "check=10" ],
      grants = [
        (export = (service = "nvme", export = "block")),
        (name = "log", kernel = hardwareAuditLog),
        (kernel = entropySource),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

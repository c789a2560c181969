@0xd1c0a5e5b0a71011;
# One disk, and a client that opens several sessions on it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-session-isolation",
  exitWith = "client",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "device", device = (driver = "nvme", nth = 0)),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "client", binary = "session-isolation",
      grants = [
        (name = "block", export = (service = "nvme", export = "block")),
        (name = "logSink", kernel = logSink),
      ] ),
  ],
);

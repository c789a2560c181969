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
        (endpoint = void),
        (device = (driver = "nvme", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "client", binary = "session-isolation",
      grants = [
        (export = (service = "nvme", export = "block")),
        (kernel = logSink),
      ] ),
  ],
);

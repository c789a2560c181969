@0xd1c0a5e5b0a71f20;
# One provider with one NVMe function, whose second queue goes on while the first is reset.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-queue-reset",
  exitWith = "provider",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "provider", binary = "queue-reset",
      grants = [
        (device = (driver = "nvme", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

@0xd1c0a5e5b0a71f66;
# A provider that writes the commands of a queue itself, of two NVMe functions, each in a domain of its own.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-nvme-direct",
  exitWith = "provider",
  dma = direct,
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "provider", binary = "nvme-direct",
      grants = [
        (device = (driver = "nvme", nth = 0)),
        (name = "other", device = (driver = "nvme", nth = 1)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

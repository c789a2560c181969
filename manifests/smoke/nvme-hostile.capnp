@0xd1c0a5e5b0a71010;
# A hostile provider with two NVMe functions and nothing else.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-nvme-hostile",
  exitWith = "hostile",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "hostile", binary = "nvme-hostile",
      grants = [
        (device = (driver = "nvme", nth = 0)),
        (name = "other", device = (driver = "nvme", nth = 1)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

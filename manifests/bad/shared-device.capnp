@0xd1c0a5e5b0a72012;
# Two services that claim one device.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  drivers = ["nvme"],
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "device", device = (driver = "nvme", nth = 0))]),
    (name = "b", binary = "b", grants = [(name = "device", device = (driver = "nvme", nth = 0))]),
  ],
);

@0xd1c0a5e5b0a72013;
# A device of a driver that the manifest does not ask the kernel for.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "device", device = (driver = "nvme", nth = 0))]),
  ],
);

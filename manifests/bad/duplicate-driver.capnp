@0xd1c0a5e5b0a7200d;
# One driver twice.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  drivers = ["nvme", "nvme"],
  name = "bad",
  services = [
    (name = "a", binary = "a"),
  ],
);

@0xd1c0a5e5b0a72011;
# A binary that the boot package does not hold.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    (name = "a", binary = "not-there"),
  ],
);

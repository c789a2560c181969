@0xd1c0a5e5b0a711f4;
# Three cards, which may raise what is not theirs.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-msi-forge",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "msi-forge",
      grants = [
        (name = "registry", kernel = deviceRegistry),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

@0xd009cf53b04a45c2;
# Three cards, whose holder ends after the first interrupt.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-unit-deaf",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "msi-forge", arguments = ["leave"],
      grants = [
        (name = "registry", kernel = deviceRegistry),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

@0xd1c0a5e5b0a71161;
# Two cards, and one program that holds both.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-interrupt-grant",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "interrupt-grant",
      grants = [
        (name = "registry", kernel = deviceRegistry),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

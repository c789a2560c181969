@0xd1c0a5e5b0a71109;
# The system of the smoke `entry-return`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-entry-return",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-entry", arguments = ["return"], priority = 16,
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
      ] ),
  ],
);

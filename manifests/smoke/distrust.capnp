@0xd1c0a5e5b0a711d2;
# The system of the smoke `distrust`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-distrust",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-distrust", priority = 16,
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = machineInspector),
      ] ),
  ],
);

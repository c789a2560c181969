@0xd1c0a5e5b0a71040;
# Two NVMe controllers, and a program that may claim them.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-dmapool-grant",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "dmapool-grant",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = deviceRegistry),
      ] ),
  ],
);

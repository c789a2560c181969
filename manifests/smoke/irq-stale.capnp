@0xd1c0a5e5b0a71162;
# A program that claims the card again and again.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-irq-stale",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "irq-stale",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (name = "registry", kernel = deviceRegistry),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

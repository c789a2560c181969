@0xd1c0a5e5b0a71164;
# Three cards; a child holds the first and is silent.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-irq-silent",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "irq-silent",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (name = "other", device = (driver = "edu", nth = 1)),
        (name = "third", device = (driver = "edu", nth = 2)),
        (name = "registry", kernel = deviceRegistry),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

@0xd1c0a5e5b0a71047;
# An NVMe controller, and a program that may claim it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-kill-steps",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "kill-steps",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = deviceRegistry),
      ] ),
    # Brings the image that the smoke starts; without a device this one ends at once.
    ( name = "image", binary = "nvme-provider" ),
  ],
);

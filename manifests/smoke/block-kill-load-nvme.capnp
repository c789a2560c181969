@0xd1c0a5e5b0a7a0d4;
# An NVMe disk, and a program that supervises its driver and writes to it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-block-kill-load-nvme",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "block-kill-load", arguments = ["kills=6", "class=nvme", "binary=nvme-provider"],
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

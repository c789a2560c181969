@0xd1c0a5e5b0a7a0d5;
# A virtio disk, and a program that supervises its driver and writes to it for long.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-block-kill-deep",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "block-kill-load", arguments = ["kills=50"],
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
    ( name = "image", binary = "virtio-blk-provider" ),
  ],
);

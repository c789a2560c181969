@0xd1c0a5e5b0a71048;
# What `cargo xtask bench` boots for the rows about device authority.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-device",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["device"], limits = (handles = 16384, memoryPages = 65536, threads = 256, endpoints = 1024, facets = 65536),
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = deviceRegistry),
      ] ),
    # Brings the image of the disk's driver; without a device this one ends at once.
    ( name = "image", binary = "nvme-provider" ),
  ],
);

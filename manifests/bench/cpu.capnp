@0xd1c0a5e5b0a71002;
# What `cargo xtask bench` boots for the rows that need no device.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["calls"],
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
      ] ),
    # Brings the image that `proc_spawn` starts; this one ends at once.
    ( name = "noop", binary = "bench-noop" ),
  ],
);

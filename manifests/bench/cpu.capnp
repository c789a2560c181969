@0xd1c0a5e5b0a71002;
# What `cargo xtask bench` boots for the rows that need no device.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["calls"],
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
      ] ),
    # Brings the image that `proc_spawn` starts; this one ends at once.
    ( name = "noop", binary = "bench-noop" ),
  ],
);

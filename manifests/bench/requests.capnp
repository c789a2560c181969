@0xb52e0f3a94c7d6e1;
# What `cargo xtask bench` boots for the rows about a unit that is told of each run by a request.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-requests",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["requests"],
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = deviceRegistry),
      ] ),
  ],
);

@0xd1c0a5e5b0a711f6;
# What `cargo xtask bench` boots for the rows about devices in a domain.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-domain",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["domain"], 
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = deviceRegistry),
      ] ),
  ],
);

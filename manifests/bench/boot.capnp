@0xd1c0a5e5b0a71004;
# What `cargo xtask bench` boots for `boot_user`: the first program tells the count, and one service ends it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-boot",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench",
      grants = [
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

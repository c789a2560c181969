@0xd1c0a5e5b0a71100;
# The smallest system: init and one program that ends at once.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-boot",
  exitWith = "hello",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "hello", binary = "hello", priority = 16,
      arguments = ["one", "two"],
      grants = [
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

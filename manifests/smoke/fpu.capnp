@0xd1c0a5e5b0a711d1;
# The system of the smokes `fpu` and `fpu-fxsave`: init, the one program that asks, and one that it starts beside itself.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-fpu",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    # Started by the other; without a role it ends at once.
    ( name = "plain", binary = "smoke-fpu-plain", priority = 16 ),
    ( name = "smoke", binary = "smoke-fpu", priority = 16, fpu = true,
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
      ] ),
  ],
);

@0xd1c0a5e5b0a711b3;
# Edu devices, and a program that starts children which try to have more than they were given.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-account-escapes",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "account-escapes", priority = 16,
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = deviceRegistry),
      ] ),
  ],
);

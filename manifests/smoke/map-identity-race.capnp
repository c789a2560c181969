@0xd1c0a5e5b0a71a2f;
# The system of the smoke `map-identity-race`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-map-identity-race",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-maps", arguments = ["identity-race"],
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

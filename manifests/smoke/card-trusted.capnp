@0xd1c0a5e5b0a7f3c1;
# Two cards, which may reach each other and are trusted to one holder.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-card-trusted",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  trustedGroups = [ "below-0000:01:00.0" ],
  services = [
    ( name = "smoke", binary = "card-peers",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = deviceRegistry),
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = logSink),
      ] ),
  ],
);

@0xd1c0a5e5b0a711f5;
# Two cards, which may reach each other.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-card-peers",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "card-peers",
      grants = [
        (kernel = deviceRegistry),
        (kernel = logSink),
      ] ),
  ],
);

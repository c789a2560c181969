@0xd1c0a5e5b0a71d40;
# One card, which may be another than it says.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-card-owner",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "card-owner",
      grants = [
        (name = "card", device = (driver = "edu", nth = 0)),
        (name = "registry", kernel = deviceRegistry),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

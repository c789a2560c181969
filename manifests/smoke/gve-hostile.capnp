@0xd1c0a5e5b0a72134;
# A hostile provider with a gVNIC and nothing else.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-gve-hostile",
  exitWith = "hostile",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "hostile", binary = "gve-hostile",
      grants = [
        (device = (driver = "gve", nth = 0)),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

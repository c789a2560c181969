@0xd1c0a5e5b0a710ea;
# A hostile provider with a virtio network interface and nothing else.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-net-hostile",
  exitWith = "hostile",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "hostile", binary = "net-hostile",
      grants = [
        (device = (driver = "virtio-net", nth = 0)),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

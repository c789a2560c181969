@0xd1c0a5e5b0a711f7;
# Two cards, and a program that uses the second.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-irq-msi-second",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "irq-msi",
      grants = [
        (name = "other", device = (driver = "edu", nth = 0)),
        (name = "card", device = (driver = "edu", nth = 1)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

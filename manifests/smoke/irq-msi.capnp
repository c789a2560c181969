@0xd1c0a5e5b0a71160;
# One card with one MSI.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-irq-msi",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "irq-msi",
      grants = [
        (name = "card", device = (driver = "edu", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

@0xd1c0a5e5b0a71163;
# Two cards on one interrupt line.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-irq-intx",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "irq-intx",
      grants = [
        (name = "registry", kernel = deviceRegistry),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);

@0xd1c0a5e5b0a71165;
# One disk and a program that moves its interrupt.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-irq-affinity",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "irq-affinity",
      grants = [
        (name = "registry", kernel = deviceRegistry),
        (kernel = logSink),
        (kernel = timer),
        (name = "log", kernel = logReader),
      ] ),
  ],
);

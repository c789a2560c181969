@0xd1c0a5e5b0a72041;
# One program for two services, of which one may use the floating-point unit.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "soft", binary = "a"),
    (name = "hard", binary = "a", fpu = true),
  ],
);

@0xd1c0a5e5b0a7201c;
# A priority that the kernel keeps for itself.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", priority = 200),
  ],
);

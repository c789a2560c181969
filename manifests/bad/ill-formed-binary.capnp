@0xd1c0a5e5b0a72008;
# A binary is a name, never a path.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "../kernel"),
  ],
);

@0xd1c0a5e5b0a72001;
# A version that this system does not read.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  version = 2,
  name = "bad",
  services = [
    (name = "a", binary = "a"),
  ],
);

@0xd1c0a5e5b0a72003;
# No services at all.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
);

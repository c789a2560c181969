@0xd1c0a5e5b0a72005;
# A service without a name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a"),
    (binary = "a"),
  ],
);

@0xd1c0a5e5b0a72004;
# A manifest without a name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  services = [
    (name = "a", binary = "a"),
  ],
);

@0xd1c0a5e5b0a7200a;
# Two services of one name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a"),
    (name = "a", binary = "a"),
  ],
);

@0xd1c0a5e5b0a72031;
# An area with room for more than the longest message.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", areaPages = 17),
  ],
);

@0xd1c0a5e5b0a72002;
# A field that the schema does not have: the authoring tool refuses it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", colour = 3),
  ],
);

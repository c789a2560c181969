@0xd1c0a5e5b0a72030;
# A first thread without room to say why it ends.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", stackPages = 3),
  ],
);

@0xd1c0a5e5b0a72006;
# A name of 32 bytes; a startup entry holds 31.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a2345678901234567890123456789012", binary = "a"),
  ],
);

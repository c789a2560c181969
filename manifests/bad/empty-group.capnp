@0xd1c0a5e5b0a7f3c6;
# A group without a name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  trustedGroups = ["below-0000:01:00.0", ""],
  services = [
    (name = "a", binary = "a"),
  ],
);

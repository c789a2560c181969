@0xd1c0a5e5b0a7f3c3;
# A group with a blank in its name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  trustedGroups = ["below 0000:01:00.0"],
  services = [
    (name = "a", binary = "a"),
  ],
);

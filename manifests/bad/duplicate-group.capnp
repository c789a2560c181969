@0xd1c0a5e5b0a7f3c4;
# One group twice.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  trustedGroups = ["below-0000:01:00.0", "device-0000:04:00.0", "below-0000:01:00.0"],
  services = [
    (name = "a", binary = "a"),
  ],
);

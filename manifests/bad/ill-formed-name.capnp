@0xd1c0a5e5b0a72007;
# Names of services are lower-case letters, digits and inner hyphens.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "Fat_1", binary = "a"),
  ],
);

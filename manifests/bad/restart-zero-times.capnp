@0xd1c0a5e5b0a72017;
# A restart policy that never restarts.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", restart = onFailure, maxRestarts = 0),
  ],
);

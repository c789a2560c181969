@0xd1c0a5e5b0a72018;
# The system halts when the service ends, so nobody is there to restart it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  exitWith = "a",
  name = "bad",
  services = [
    (name = "a", binary = "a", restart = always),
  ],
);

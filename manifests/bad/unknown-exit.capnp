@0xd1c0a5e5b0a72019;
# exitWith names nobody.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  exitWith = "shell",
  name = "bad",
  services = [
    (name = "a", binary = "a"),
  ],
);

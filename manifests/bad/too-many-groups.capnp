@0xd1c0a5e5b0a7f3c5;
# More groups than are kept.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  trustedGroups = [
    "id-0000:00:00.0", "id-0000:00:01.0", "id-0000:00:02.0", "id-0000:00:03.0", "id-0000:00:04.0", "id-0000:00:05.0",
    "id-0000:00:06.0", "id-0000:00:07.0", "id-0000:00:08.0", "id-0000:00:09.0", "id-0000:00:0a.0", "id-0000:00:0b.0",
    "id-0000:00:0c.0", "id-0000:00:0d.0", "id-0000:00:0e.0", "id-0000:00:0f.0", "id-0000:00:10.0",
  ],
  services = [
    (name = "a", binary = "a"),
  ],
);

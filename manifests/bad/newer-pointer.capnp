@0xd1c0a5e5b0a72023;
# A text that only a newer schema knows.

using M = import "../../schema/manifest.capnp";

# What a newer schema might look like: one more field behind those that this system knows.
struct Newer {
  version @0 :UInt32 = 1;
  name @1 :Text;
  services @2 :List(M.Service);
  exitWith @3 :Text;
  dma @4 :M.Manifest.DmaPolicy;
  drivers @5 :List(Text);
  trustedGroups @6 :List(Text);
  policy @7 :Text;
}

const manifest :Newer = (
  policy = "allow everything",
  name = "bad",
  services = [
    (name = "a", binary = "a"),
  ],
);

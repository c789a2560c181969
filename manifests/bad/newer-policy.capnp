@0xd1c0a5e5b0a72025;
# A DMA policy that only a newer schema knows.

using M = import "../../schema/manifest.capnp";

# What a newer schema might look like: one more field behind those that this system knows.
struct Newer {
  version @0 :UInt32 = 1;
  name @1 :Text;
  services @2 :List(M.Service);
  exitWith @3 :Text;
  dma @4 :Dma;
  drivers @5 :List(Text);
  enum Dma { auto @0; bounce @1; direct @2; remapped @3; }
}

const manifest :Newer = (
  dma = remapped,
  name = "bad",
  services = [
    (name = "a", binary = "a"),
  ],
);

@0xd1c0a5e5b0a72024;
# A single bit that only a newer schema knows, in the padding of this one.

using M = import "../../schema/manifest.capnp";

# What a newer schema might look like: one more field behind those that this system knows.
struct Newer {
  version @0 :UInt32 = 1;
  name @1 :Text;
  services @2 :List(M.Service);
  exitWith @3 :Text;
  dma @4 :M.Manifest.DmaPolicy;
  drivers @5 :List(Text);
  lax @6 :Bool;
}

const manifest :Newer = (
  lax = true,
  name = "bad",
  services = [
    (name = "a", binary = "a"),
  ],
);

@0xd1c0a5e5b0a7201e;
# One service more than init supervises.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "s0", binary = "a"),
    (name = "s1", binary = "a"),
    (name = "s2", binary = "a"),
    (name = "s3", binary = "a"),
    (name = "s4", binary = "a"),
    (name = "s5", binary = "a"),
    (name = "s6", binary = "a"),
    (name = "s7", binary = "a"),
    (name = "s8", binary = "a"),
    (name = "s9", binary = "a"),
    (name = "s10", binary = "a"),
    (name = "s11", binary = "a"),
    (name = "s12", binary = "a"),
    (name = "s13", binary = "a"),
    (name = "s14", binary = "a"),
    (name = "s15", binary = "a"),
    (name = "s16", binary = "a"),
    (name = "s17", binary = "a"),
    (name = "s18", binary = "a"),
    (name = "s19", binary = "a"),
    (name = "s20", binary = "a"),
    (name = "s21", binary = "a"),
    (name = "s22", binary = "a"),
    (name = "s23", binary = "a"),
    (name = "s24", binary = "a"),
    (name = "s25", binary = "a"),
    (name = "s26", binary = "a"),
    (name = "s27", binary = "a"),
    (name = "s28", binary = "a"),
    (name = "s29", binary = "a"),
    (name = "s30", binary = "a"),
    (name = "s31", binary = "a"),
    (name = "s32", binary = "a"),
  ],
);

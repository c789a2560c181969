@0xd1c0a5e5b0a72040;
# Storage asked of the kernel, which has none to give: block devices and volumes come from services alone. The sources of the
# schema end before these.

using M = import "../../schema/manifest.capnp";

struct Wishful {
  version @0 :UInt32 = 1;
  name @1 :Text;
  services @2 :List(Service);
  exitWith @3 :Text;
  dma @4 :M.Manifest.DmaPolicy;
  drivers @5 :List(Text);
}

struct Service {
  name @0 :Text;
  binary @1 :Text;
  arguments @2 :List(Text);
  grants @3 :List(Grant);
  exports @4 :List(M.Export);
  restart @5 :M.Service.Restart = never;
  priority @6 :UInt8 = 16;
  limits @7 :M.Limits;
  maxRestarts @8 :UInt16 = 8;
  critical @9 :Bool;
}

struct Grant {
  name @0 :Text;
  union {
    kernel @1 :KernelSource;
    export @2 :M.Grant.ExportSource;
    device @3 :M.Grant.DeviceSource;
    endpoint @4 :Void;
  }
  enum KernelSource {
    s0 @0; s1 @1; s2 @2; s3 @3; s4 @4; s5 @5; s6 @6; s7 @7; s8 @8; s9 @9; s10 @10; s11 @11; s12 @12; s13 @13; s14 @14; s15 @15;
    s16 @16; s17 @17; s18 @18; s19 @19; s20 @20; s21 @21; s22 @22; s23 @23; s24 @24; s25 @25; s26 @26; s27 @27; s28 @28; s29 @29;
    s30 @30; s31 @31;
    blockDevice @32; store @33; readOnlyFs @34;
  }
}

const manifest :Wishful = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "disk", kernel = blockDevice)]),
  ],
);

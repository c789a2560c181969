@0xd1c0a5e5b0a7df01;
# As smoke-boot, with the choice of the DMA backend narrowed.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-dma-policy",
  exitWith = "hello",
  dma = bounce,
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "hello", binary = "hello", priority = 16,
      arguments = ["one", "two"],
      grants = [
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);

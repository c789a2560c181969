@0xd1c0a5e5b0a7000e;
# Random bytes of a device, as its provider serves them. Nothing here stands behind `EntropySource`, which is the
# processor's own and refuses where there is none: who wants a device's bytes asks for them by this name.

using Stub = import "stub.capnp";

# A source of random bytes.
interface HardwareRandom @0xd1c0a5e5b0a70e01 {
  # What the device gave, at least one byte and at most `bytes`, which is 1 to 1024. Nobody is given the same bytes again.
  # Refuses: `zeroLength`, `outOfRange` (over 1024), `busy` (too many calls waiting), `deviceError`, `revoked` (the device
  # was reset), `noDevice`.
  read @0 (bytes :UInt32) -> (data :Data) $Stub.idempotent;
  # `delivered` counts the interrupts that the device has raised; a device that cannot raise any is polled.
  # Refuses: `noDevice`.
  info @1 () -> (polled :Bool, delivered :UInt64, served :UInt64) $Stub.idempotent;
}

@0xd1c0a5e5b0a70002;
# Device authority: one claim, and what derives from it. Holding one capability gives none of the others.
# Nothing here ever carries a physical address or an IOVA.

using Process = import "process.capnp";

interface DeviceRegistry @0xd1c0a5e5b0a70201 {
  # What is plugged in. Listing gives no authority over anything.
  list @0 (from :UInt32) -> (next :UInt32, functions :List(Function));
  # Claims the `nth` function (0 is the first, in address order) for which the named driver's broker registered.
  claim @1 (driver :Text, nth :UInt32) -> (device :Device);
  # What arrived at a CPU: interrupts that somebody holds, spurious ones of its local APIC, and those on vectors that
  # nobody owns; and how many of its vectors are in use.
  interrupts @2 (cpu :UInt16) -> (device :UInt64, spurious :UInt64, unowned :UInt64, vectors :UInt16);
  struct Function {
    address @0 :UInt32; # segment << 16 | bus << 8 | device << 3 | function
    vendor @1 :UInt16; device @2 :UInt16; class @3 :UInt32; # class << 16 | subclass << 8 | interface
    driver @4 :Text; claimed @5 :Bool; quarantined @6 :Bool;
    bars @7 :List(Bar); msixVectors @8 :UInt16; msi @9 :Bool;
  }
  struct Bar { index @0 :UInt8; kind @1 :Kind; bytes @2 :UInt64; }
  enum Kind { memory32 @0; memory64 @1; io @2; }
}

interface Device @0xd1c0a5e5b0a70202 {
  info @0 () -> (address :UInt32, generation :UInt64, state :State);
  # A filtered copy of configuration space: identity and capability metadata, never a base address.
  readConfig @1 (offset :UInt16) -> (value :UInt32);
  # Disables the device, waits for proof that it stopped, and returns everything in flight as `revoked`.
  # Completes when the broker holds a reset receipt; refused `quarantined` if there is none in time.
  reset @2 () -> ();
  # Broker operation: chooses sizes and features within what the device offers. Meaning of a..c is the broker's, see its page in docs/devices.
  configure @3 (a :UInt64, b :UInt64, c :UInt64) -> (a :UInt64, b :UInt64, c :UInt64);
  # Broker operation: bus mastering on (needs a reset receipt), administration queue up, device enabled and ready.
  enable @4 () -> ();
  mmio @5 (bar :UInt8) -> (mmio :DeviceMmio);
  interrupt @6 (source :UInt16) -> (interrupt :Interrupt);
  pool @7 (budgetBytes :UInt64) -> (pool :DmaPool);
  # Opens a queue. `kind` and `index` are the broker's (NVMe: 0 administration, 1 input/output). `source` is the interrupt
  # source that completions raise, 0xffff for none.
  queue @8 (kind :UInt16, index :UInt16, depth :UInt16, source :UInt16) -> (queue :DeviceQueue);
  enum State { claimed @0; configured @1; enabled @2; resetting @3; quarantined @4; dead @5; }
}

interface DeviceMmio @0xd1c0a5e5b0a70203 {
  info @0 () -> (bytes :UInt64, mappablePages :UInt32);
  # Read-only mapping of pages that the broker lists as free of side effects and of interrupt tables.
  map @1 (offset :UInt64, bytes :UInt64) -> (address :UInt64);
  unmap @2 (address :UInt64) -> ();
  # `width` is 1, 2, 4 or 8 bytes.
  read @3 (offset :UInt64, width :UInt8) -> (value :UInt64);
  # Only into a register window that the broker declared; `readBack` is what the register holds afterwards.
  write @4 (offset :UInt64, width :UInt8, value :UInt64) -> (readBack :UInt64);
}

interface Interrupt @0xd1c0a5e5b0a70204 {
  info @0 () -> (source :UInt16, generation :UInt64, delivered :UInt64, masked :Bool, cpu :UInt16, signal :Signal);
  # Completes at the next dispatch of exactly this route; at once if one is pending.
  wait @1 () -> (dispatches :UInt64);
  # Re-arms the source: exactly one acknowledgement per dispatch. What came meanwhile is the next dispatch.
  acknowledge @2 () -> ();
  mask @3 () -> ();
  unmask @4 () -> ();
  # Moves the source to another CPU, and a line with everybody on it. What is on its way still counts for this route.
  setAffinity @5 (cpu :UInt16) -> ();
  # Since the route was opened: interrupts dispatched at once, those that came while it was masked or not acknowledged,
  # those that came on a vector from which it had been moved, and how often it was turned off because it sent too many.
  counts @6 () -> (dispatched :UInt64, late :UInt64, forwarded :UInt64, storms :UInt64);
  enum Signal { msix @0; msi @1; line @2; }
}

interface DmaPool @0xd1c0a5e5b0a70205 {
  info @0 () -> (budgetBytes :UInt64, usedBytes :UInt64, buffers :UInt32, policy :OutOfMemory);
  # Zeroed pages. `contiguous` asks for one physical run; nothing about where it lies is ever told.
  allocate @1 (bytes :UInt64, contiguous :Bool) -> (buffer :DmaBuffer);
  # What an allocation within budget does when the machine has no memory for it; `refuse` at first.
  setPolicy @2 (policy :OutOfMemory) -> ();
  enum OutOfMemory {
    refuse @0; # the allocation is refused `noMemory`, and everything else goes on
    revoke @1; # it is refused, and the claim ends: its owner starts again from nothing
  }
}

interface DmaBuffer @0xd1c0a5e5b0a70206 {
  info @0 () -> (bytes :UInt64, generation :UInt64, inFlight :UInt32);
  map @1 (protection :UInt8) -> (address :UInt64);
  unmap @2 () -> ();
  # A MemoryObject over the same pages for one client session: it maps, and gives no device authority.
  # Freeing the buffer revokes it.
  window @3 (writable :Bool) -> (memory :Process.MemoryObject);
  # Revokes windows and mappings, waits for the shootdown, scrubs, frees. Refused `busy` while a segment is in flight.
  free @4 () -> ();
}

interface DeviceQueue @0xd1c0a5e5b0a70207 {
  info @0 () -> (depth :UInt16, inFlight :UInt16, generation :UInt64);
  # Submits up to 64 commands, all or the first `accepted`; `refusal` says why the next one was refused (0: none was).
  # A template is the device's own command with every field that bears an address, a length or an identifier left zero.
  submit @1 (commands :List(Command)) -> (accepted :UInt16, refusal :UInt8);
  # Up to 64 completions. Every value the device wrote was checked against the broker's own record first.
  complete @2 (max :UInt16) -> (completions :List(Completion));
  # Tears this queue down and up again while the device runs on. Everything in flight comes back from `complete` as `revoked`
  # once the device has proven that it let go of it; then the queue takes commands again. Refused `notSupported` where the
  # device can prove that of no single queue (NVMe's administration queue): `Device.reset` is the way there.
  reset @3 () -> ();
  struct Command { cookie @0 :UInt64; template @1 :Data; segments @2 :List(Segment); }
  struct Segment {
    buffer @0 :UInt64;   # the caller's handle of a DmaBuffer of the same device
    offset @1 :UInt32; length @2 :UInt32;
    direction @3 :Direction;
  }
  struct Completion { cookie @0 :UInt64; status @1 :UInt16; result @2 :UInt32; refusal @3 :UInt8; }
  enum Direction { toDevice @0; fromDevice @1; }
}

@0xd1c0a5e5b0a70002;
# Device authority: one claim, and what derives from it. Holding one capability gives none of the others.
# Nothing here ever carries a physical address. A device address of a domain is carried by `DeviceQueue.address` alone.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

# What is plugged in. Listing gives no authority over anything.
interface DeviceRegistry @0xd1c0a5e5b0a70201 {
  # Gives at most 24 functions, by address; `next` is where to go on, 0 after the last.
  list @0 (from :UInt32) -> (next :UInt32, functions :List(Function));
  # Claims the `nth` function, in address order, that the named driver's table matches. While a teardown of it is
  # under way, the call waits for its end.
  # Refuses: `notFound` (no driver of that name), `noDevice` (fewer functions than that), `busy` (somebody holds
  # it), `quarantined`, `exhausted`, what the driver's probe says.
  claim @1 (driver :Text, nth :UInt32) -> (device :Device);
  # What arrived at a CPU: interrupts that somebody holds, spurious ones of its local APIC, and those on vectors that
  # nobody owns; and how many of its vectors are in use.
  # Refuses: `outOfRange` (no such CPU).
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

# A claim. Dropping its last handle, or the end of its holder, tears everything down that came from it. Once a
# teardown has begun every operation of the claim, here and below, is refused `revoked`.
interface Device @0xd1c0a5e5b0a70202 {
  info @0 () -> (address :UInt32, generation :UInt64, state :State);
  # Reads identity and capability metadata; never a base address or a message address.
  # Refuses: `outOfRange`, `windowRefused` (a dword that a provider may not see).
  readConfig @1 (offset :UInt16) -> (value :UInt32);
  # Stops the device and proves it. Queues and interrupt routes end, everything in flight completes `revoked`.
  # Refuses: `busy`, `quarantined` (no proof came in time, which ends the claim).
  reset @2 () -> ();
  # Makes a device ready to be enabled of which nothing can be chosen. Each class that has a choice has a method of its own;
  # the settings of another class than the device's are refused.
  # Refuses: `wrongState` unless the device has stopped, `busy`, `notSupported` (the device is of a class with settings).
  configure @3 () -> ();
  # Spends the reset receipt on bus mastering and brings the device up. After a refusal of the device only a reset
  # goes on.
  # Refuses: `wrongState` before one of the `configure` methods, `busy`, `timedOut`, what the broker says.
  enable @4 () -> ();
  # Refuses: `outOfRange` (no such memory BAR).
  mmio @5 (bar :UInt8) -> (mmio :DeviceMmio);
  # `source` is an MSI-X vector, or 0 for the one MSI; the number after the last message is the function's pin. It starts
  # masked. A function signals one way at a time.
  # Refuses: `wrongState` during a reset, and for the pin while a message is open or the other way round; `outOfRange`,
  # `alreadyExists`, `exhausted`, `notSupported` for a pin of which no table says where it arrives.
  interrupt @6 (source :UInt16) -> (interrupt :Interrupt);
  # Refuses: `zeroLength`, `overBudget`, `noMemory`, `exhausted`.
  pool @7 (budgetBytes :UInt64) -> (pool :DmaPool);
  # Opens a queue. `kind` and `index` are the broker's; `source` is the interrupt source of its completions, 0xffff
  # for none.
  # Refuses: `wrongState` unless the device is enabled, `outOfRange` (kind, index, depth, source), `busy`,
  # `overBudget`, `noMemory`, `timedOut`.
  queue @8 (kind :UInt16, index :UInt16, depth :UInt16, source :UInt16) -> (queue :DeviceQueue);
  # `configure` for an NVMe controller: gives what of it there is. `pageShift` is the logarithm of the controller's page size
  # and must be 12.
  # Refuses: `wrongState` unless the device has stopped, `busy`, `badArgument`, `notSupported` (another class, or a
  # controller that the broker cannot drive).
  configureNvme @9 (adminDepth :UInt16, pairs :UInt16, pageShift :UInt32) -> (adminDepth :UInt16, pairs :UInt16, pageShift :UInt32);
  # `configure` for a virtio device. 0 asks for all features that the broker knows, for the class's own number of queues,
  # for the usual depth; the answer holds the depth of queue 0, and where the device-specific configuration lies:
  # `configBytes` 0 for nowhere.
  # Refuses: `wrongState` unless the device has stopped, `busy`, `badArgument` (a feature that the broker does not know, a
  # depth that is no power of two), `outOfRange` (queues, depth), `notSupported` (another class, or a device without what
  # the class needs), `deviceError`.
  configureVirtio @10 (features :UInt64, queues :UInt16, depth :UInt16)
    -> (features :UInt64, queues :UInt16, depth :UInt16, configBar :UInt8, configOffset :UInt32, configBytes :UInt32);
  # Opens a queue whose entries the caller writes itself, with device addresses of the function's domain in them: an I/O queue of
  # an NVMe controller. `submissions` and `completions` are the caller's handles of two DmaBuffers of this device, each of which
  # begins with a ring of `depth` entries; both stay pinned until the device was reset. The rest as for `queue`.
  # Refuses: as `queue`; `notSupported` unless the manifest says `dma = direct` and a verified domain confines the device, and
  # for a queue that only the broker may write; `foreignBuffer`, `badHandle`; `badArgument` for one buffer twice; `outOfRange` for
  # a ring that is longer than its buffer, or a buffer of over 256 KiB.
  direct @11 (kind :UInt16, index :UInt16, depth :UInt16, source :UInt16, submissions :UInt64, completions :UInt64)
    -> (queue :DeviceQueue);
  enum State { claimed @0; configured @1; enabled @2; resetting @3; quarantined @4; dead @5; }
}

# The registers of one BAR, by rule.
interface DeviceMmio @0xd1c0a5e5b0a70203 {
  info @0 () -> (bytes :UInt64, mappablePages :UInt32);
  # Maps whole pages read-only: those that the broker lists, minus every page with a byte of the MSI-X table or
  # pending bits.
  # Refuses: `windowRefused` (a page that the broker does not list), `misaligned`, `zeroLength`, `outOfRange`,
  # `overBudget`, `noMemory`.
  map @1 (offset :UInt64, bytes :UInt64) -> (address :UInt64);
  # Ends the mapping at this address.
  # Refuses: `notFound`.
  unmap @2 (address :UInt64) -> ();
  # `width` is 1, 2, 4 or 8 bytes.
  # Refuses: `windowRefused`, `misaligned`, `outOfRange`, `badArgument` (width).
  read @3 (offset :UInt64, width :UInt8) -> (value :UInt64);
  # Writes one register that the broker declared memory-neutral, within its mask and rule; gives what it reads as
  # afterwards. When it is refused, nothing was written.
  # Refuses: as `read`; `windowRefused` also for a value that the window does not take.
  write @4 (offset :UInt64, width :UInt8, value :UInt64) -> (readBack :UInt64);
}

# One interrupt source of one claim.
interface Interrupt @0xd1c0a5e5b0a70204 {
  info @0 () -> (source :UInt16, generation :UInt64, delivered :UInt64, masked :Bool, cpu :UInt16, signal :Signal);
  # Completes at the next dispatch of exactly this route, at once if one is pending.
  # Refuses: `busy` (one call waits at a time), `revoked` when the route ends.
  wait @1 () -> (dispatches :UInt64);
  # Re-arms the source: exactly one acknowledgement per dispatch. A message that came meanwhile is the next dispatch at
  # once. On a line, take the cause away at the device first: a level that is still there comes again.
  # Refuses: `wrongState` without a dispatch, `duplicate` for a second one.
  acknowledge @2 () -> ();
  mask @3 () -> ();
  # Lets the source be raised. A message that came while it was masked is dispatched at once.
  unmask @4 () -> ();
  # Moves the source to another CPU, and a line with everybody on it. What is on its way still counts for this route.
  # Refuses: `outOfRange` (no such CPU, or none that a device can interrupt), `exhausted`, `busy` while the last move has
  # not settled.
  setAffinity @5 (cpu :UInt16) -> ();
  # Since the route was opened: interrupts dispatched at once, those that came while it was masked or not acknowledged,
  # those that came on a vector from which it had been moved, and how often it was turned off because it sent too many.
  counts @6 () -> (dispatched :UInt64, late :UInt64, forwarded :UInt64, storms :UInt64);
  enum Signal { msix @0; msi @1; line @2; }
}

# A budget of device memory.
interface DmaPool @0xd1c0a5e5b0a70205 {
  info @0 () -> (budgetBytes :UInt64, usedBytes :UInt64, buffers :UInt32, policy :OutOfMemory);
  # Gives zeroed pages. Where they lie is never disclosed.
  # Refuses: `wrongState` during a reset, `zeroLength`, `outOfRange`, `overBudget`, `noMemory`.
  allocate @1 (bytes :UInt64, layout :Layout) -> (buffer :DmaBuffer);
  # What an allocation within budget does when the machine has no memory for it; `refuse` at first.
  setPolicy @2 (policy :OutOfMemory) -> ();
  enum Layout {
    scattered @0; # pages as they come
    contiguous @1; # one physical run
  }
  enum OutOfMemory {
    refuse @0; # the allocation is refused `noMemory`, and everything else goes on
    revoke @1; # it is refused, and the claim ends: its owner starts again from nothing
  }
}

# Pages that the device may be told to use.
interface DmaBuffer @0xd1c0a5e5b0a70206 {
  info @0 () -> (bytes :UInt64, generation :UInt64, inFlight :UInt32);
  # Refuses: `writeExecute`, `badArgument`, `wrongState` once it is being freed, `overBudget`, `noMemory`.
  map @1 (protection :UInt8) -> (address :UInt64);
  # Unmaps the buffer from the caller's address space, wherever it is mapped there and however it came to be.
  # Refuses: `notFound`, `busy` while another thread changes one of the mappings.
  unmap @2 () -> ();
  # Gives a MemoryObject over the same pages for one client. It maps, and gives neither device authority nor the right to
  # revoke (`revoke` on it is refused `notSupported`); freeing the buffer revokes it.
  # Refuses: `wrongState` once it is being freed, `overBudget`, `noMemory`.
  window @3 (access :Access) -> (memory :Process.MemoryObject);
  # Revokes windows and mappings, waits for the shootdown, scrubs, frees. A buffer whose last handle is dropped is
  # freed likewise, once nothing is in flight.
  # Refuses: `busy` while a segment is in flight, `duplicate`.
  free @4 () -> ();
  enum Access { read @0; readWrite @1; }
}

# The one way to make a device do DMA.
interface DeviceQueue @0xd1c0a5e5b0a70207 {
  info @0 () -> (depth :UInt16, inFlight :UInt16, generation :UInt64);
  # Submits up to 64 commands in order until one is refused, and rings once. `accepted` counts those taken,
  # `refusal` says why the next one was not. A template is the device's own command with every field zero that bears
  # an address, a length or an identifier.
  # Refuses: per command, in `refusal`: `templateRefused`, `lengthMismatch`, `foreignBuffer`, `stale`, `badHandle`,
  # `outOfRange`, `misaligned`, `zeroLength`, `badArgument`, `overBudget`, `queueFull`, `wrongState`.
  submit @1 (commands :List(Command)) -> (accepted :UInt16, refusal :UInt8 $Stub.refusal);
  # Gives up to 64 completions; every value the device wrote was checked first. After a reset it gives the cookies
  # of what was in flight, each with `revoked`.
  # Refuses: `wrongState` during a reset, `corrupt` once the device has contradicted itself, `stale` for a queue
  # that a reset has ended and that owes nothing more.
  complete @2 (max :UInt16) -> (completions :List(Completion));
  # Tears this queue down and up again while the device runs on. Everything in flight comes back from `complete` as `revoked`
  # once the device has proven that it let go of it; then the queue takes commands again. Refused `notSupported` where the
  # device can prove that of no single queue (NVMe's administration queue): `Device.reset` is the way there.
  # Refuses: `quarantined`.
  reset @3 () -> ();
  # Opens the queue's ring and gives its page: places for 64 commands and 64 completions, as the crate `device-ring` lays them
  # out. The ring ends with the last handle of the queue, with a reset of the queue or the device, and with the claim.
  # Refuses: `wrongState` unless the device runs and the queue is open, `duplicate` while there is a ring, `overBudget`, `noMemory`.
  ring @4 () -> (memory :Process.MemoryObject);
  # Binds a DmaBuffer of the same device, named by the caller's handle, to a free place of the ring. It ends with the ring,
  # with `unbind`, and when somebody asks to free the buffer, even where that is refused `busy`.
  # Refuses: `wrongState` without a ring and for a buffer that is being freed, `stale` for a ring that has ended, `foreignBuffer`,
  # `badHandle`, `overBudget` (128 places), `exhausted`.
  bind @5 (buffer :UInt64) -> (slot :UInt8, generation :UInt32);
  # Ends a binding. What is in flight keeps its pages.
  # Refuses: `wrongState` without a ring, `stale`, `outOfRange`.
  unbind @6 (slot :UInt8, generation :UInt32) -> ();
  # Gives at most `complete` completions, takes at most `submit` commands out of the ring, and rings once. A command that is
  # refused gets a completion with the refusal of `submit`, and the next is looked at. One that there is no place for while
  # others are in flight stays the next: `stopped` says why. After a reset it gives the cookies of what was in flight, each
  # with `revoked`.
  # Refuses: `wrongState` without a ring and during a reset, `stale` for a ring that has ended and that is owed nothing more,
  # `busy` while another kick runs, `badMessage` for counts in the page that cannot be, `corrupt` once the device has
  # contradicted itself.
  kick @7 (submit :UInt16, complete :UInt16)
    -> (accepted :UInt16, refused :UInt16, completed :UInt16, stopped :UInt8 $Stub.refusal);
  # Of a queue that `Device.direct` opened. Tells the device where the next command and the next completion lie, as indices of
  # entries: writes the doorbells of this queue, and no others.
  # Refuses: `wrongState` unless the device runs and the queue is open, `stale`, `outOfRange`, `notSupported` (any other queue).
  doorbell @8 (tail :UInt16, head :UInt16) -> ();
  # Of a queue that `Device.direct` opened: where the device sees a DmaBuffer of the same device, named by the caller's handle. The
  # address is one of the device's domain and means nothing elsewhere. The buffer's pages follow one another there. After a
  # reset of the device commands with it are right again; once the buffer is freed it may lead anywhere in the domain, or nowhere.
  # Refuses: as `doorbell`; `foreignBuffer`, `badHandle`.
  address @9 (buffer :UInt64) -> (address :UInt64);
  struct Command { cookie @0 :UInt64; template @1 :Data; segments @2 :List(Segment); }
  struct Segment {
    buffer @0 :UInt64;   # the caller's handle of a DmaBuffer of the same device
    offset @1 :UInt32; length @2 :UInt32;
    direction @3 :Direction;
  }
  struct Completion { cookie @0 :UInt64; status @1 :UInt16; result @2 :UInt32; refusal @3 :UInt8 $Stub.refusal; }
  enum Direction { toDevice @0; fromDevice @1; }
}

@0xd1c0a5e5b0a7000f;
# Network interfaces, as a provider serves them: Ethernet frames in a window, without their check sequence.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

# An interface that moves Ethernet frames.
interface Nic @0xd1c0a5e5b0a70f01 {
  # The first byte of the address is the most significant of `mac`'s 48 bits. `frameBytes` is the longest frame, with its
  # header and without its check sequence. A received frame begins `lead` bytes into its piece. Where `pieceBytes` is not 0, a
  # piece to receive has just so many bytes and begins at a multiple of them; with `halves` such pieces lie in the first half of
  # the window, and those to send in the second.
  # Refuses: `noDevice`.
  info @0 () -> (mac :UInt64, mtu :UInt16, frameBytes :UInt16, linkUp :Bool, polled :Bool, lead :UInt16, pieceBytes :UInt16,
    halves :Bool) $Stub.idempotent;
  # Opens the session with a window of its own; there is one at a time. When its last handle goes, the device gives up
  # what was posted, and the window is revoked and scrubbed. The window is rounded up to pages, at most 8 MiB. Asked while
  # the last session is ending, it waits for the end.
  # Refuses: `zeroLength`, `busy` (there is a session), `overBudget`, `noMemory`, `noDevice`.
  open @1 (windowBytes :UInt32) -> (session :NicSession, window :Process.MemoryObject, windowBytes :UInt32);
  # `delivered` counts the interrupts that the device has raised, `resets` how often it was brought up.
  # Refuses: `noDevice`.
  counters @2 () -> (received :UInt64, transmitted :UInt64, delivered :UInt64, resets :UInt64) $Stub.idempotent;
}

# Pieces are ranges of the session's own window, one frame each, and belong to the device until their event: up to 64 in one call.
interface NicSession @0xd1c0a5e5b0a70f02 {
  # Sends frames, in order. All or the first `accepted`; `refusal` says why the next one was refused. A
  # place is taken until the event of its piece is given up.
  # Refuses: per piece, in `refusal`: `outOfRange`, `lengthMismatch` (under 14 bytes, or over `frameBytes`), `queueFull`,
  # `overBudget` (more than 64 in one call).
  transmit @0 (frames :List(Piece)) -> (accepted :UInt16, refusal :UInt8 $Stub.refusal);
  # Gives memory for frames to come: one frame each, so each holds `frameBytes`.
  # Refuses: as `transmit`; `lengthMismatch` under `frameBytes`, or for another length than `pieceBytes`; `misaligned`.
  post @1 (buffers :List(Piece)) -> (accepted :UInt16, refusal :UInt8 $Stub.refusal);
  # Completes as soon as event number `from` is there: that one and those that follow, up to 64. Events are numbered from 0
  # on in the order in which they come; asking from one on gives up all before it, and with them their places.
  # Refuses: `zeroLength`, `outOfRange` (an event given up before, or one that cannot be yet), `cancelled` (another call
  # waits now).
  wait @2 (from :UInt64, max :UInt16) -> (events :List(Event)) $Stub.idempotent;

  struct Piece { offset @0 :UInt32; length @1 :UInt32; }
  struct Event {
    kind @0 :Kind;
    # That of the piece.
    offset @1 :UInt32;
    # Bytes of the frame.
    length @2 :UInt32;
    # 0, or why there is no frame.
    refusal @3 :UInt8 $Stub.refusal;
  }
  enum Kind { received @0; transmitted @1; }
}

# What the network stack knows of its network, and what it refused. There is nothing here to change anything with.
#
# Addresses are `Data`, as everywhere below: 4 octets of IPv4 or 16 of IPv6; empty where any will do, or where there is none.
interface NetworkManager @0xd1c0a5e5b0a70f03 {
  # The first byte of the hardware address is the most significant of `mac`'s 48 bits. `address` is that of IPv4, with the
  # length of its prefix, from `server`; the times are when it is renewed, rebound and over, 2^64-1 for never. `changes` goes
  # up whenever addresses, routes or name servers are others. `sessions` counts how often the interface had to be opened.
  # Refuses: `noDevice`.
  status @0 () -> (mac :UInt64, mtu :UInt16, phase :Phase, address :Data, prefixBits :UInt8, server :Data, renewNs :UInt64,
    rebindNs :UInt64, expiresNs :UInt64, changes :UInt64, received :UInt64, transmitted :UInt64, sockets :UInt32,
    sessions :UInt32, ipv6Supported :Bool) $Stub.idempotent;
  # All addresses, whatever they are good for now.
  # Refuses: `noDevice`.
  addresses @1 () -> (list :List(Address)) $Stub.idempotent;
  # Where packets to others go, the most specific that fits first; an empty router is the link itself.
  # Refuses: `noDevice`.
  routes @2 () -> (list :List(Route)) $Stub.idempotent;
  # Name servers, the best first.
  # Refuses: `noDevice`.
  servers @3 () -> (list :List(NameServer)) $Stub.idempotent;
  # What was refused or not done, by name, and how often; what never happened is left out.
  # Refuses: `noDevice`.
  counters @4 () -> (list :List(Counter)) $Stub.idempotent;
  # Completes as soon as `changes` is another number than this.
  # Refuses: `noDevice`, `busy` where eight wait.
  watch @5 (changes :UInt64) -> (changes :UInt64) $Stub.idempotent;

  # Where the client of DHCPv4 is (RFC 2131).
  enum Phase { waiting @0; selecting @1; requesting @2; probing @3; bound @4; renewing @5; rebinding @6; released @7; }
  enum Origin { linkLocal @0; advertised @1; dhcp @2; }
  # `tentative` and `duplicate` are not used; a deprecated one is not used for what is new.
  enum Standing { tentative @0; duplicate @1; deprecated @2; preferred @3; }
  struct Address {
    address @0 :Data; prefixBits @1 :UInt8; origin @2 :Origin; standing @3 :Standing;
    preferredNs @4 :UInt64; validNs @5 :UInt64;
  }
  struct Route { target @0 :Data; prefixBits @1 :UInt8; router @2 :Data; }
  struct NameServer { address @0 :Data; }
  struct Counter { name @0 :Text; times @1 :UInt64; }
}

# Asks others whether they are there, with ICMP. Nobody else's traffic is seen.
interface IcmpEcho @0xd1c0a5e5b0a70f04 {
  # Sends one echo request with `bytes` bytes of payload, at most 1400, and gives how long the answer took and the hop limit
  # that it came with. One at a time through one facet. Where the next hop is not known it is asked for first.
  # Refuses: `malformedAddress`, `unreachable` (there is no way there, or somebody on the way said so), `timedOut` after
  # `timeoutNs`, at most a minute, `busy`, `outOfRange` (bytes), `noDevice`.
  echo @0 (target :Data, bytes :UInt16, timeoutNs :UInt64) -> (tookNs :UInt64, hopLimit :UInt8) $Stub.idempotent;
}

# The right to take connections at some ports, and at one local address or at all.
interface TcpListenAuthority @0xd1c0a5e5b0a70f05 {
  # What it covers, both ports included.
  info @0 () -> (address :Data, firstPort :UInt16, lastPort :UInt16) $Stub.idempotent;
  # The right to less; empty, the address stays as it is.
  # Refuses: `notGranted` (it would be more), `malformedAddress`, `overBudget`.
  narrow @1 (address :Data, firstPort :UInt16, lastPort :UInt16) -> (authority :TcpListenAuthority);
  # Takes connections to a port; empty, the address is any of IPv4 and of IPv6. The window is the client's own memory: the bytes of
  # all connections of this listener go through it. When the last handle of the listener goes, connections that nobody has
  # accepted are cut off.
  # Refuses: `notGranted`, `alreadyExists` (somebody has the port), `malformedAddress`, `readOnly` and `outOfRange` (the
  # window: it is writable, not empty, at most 16 MiB), `overBudget` (no socket is left), `noDevice`.
  listen @2 (window :Process.MemoryObject, address :Data, port :UInt16, backlog :UInt16) -> (listener :TcpListener);
}

# Connections to a port.
interface TcpListener @0xd1c0a5e5b0a70f06 {
  # Gives the connection that has waited longest as soon as there is one.
  # Refuses: `cancelled` (another call waits now).
  accept @0 () -> (socket :TcpSocket);
}

# The right to begin connections to some addresses and ports.
interface TcpConnectAuthority @0xd1c0a5e5b0a70f07 {
  # What it covers, both ports included.
  info @0 () -> (address :Data, prefixBits :UInt8, firstPort :UInt16, lastPort :UInt16) $Stub.idempotent;
  # The right to less; with an empty address all addresses stay.
  # Refuses: as `TcpListenAuthority.narrow`.
  narrow @1 (address :Data, prefixBits :UInt8, firstPort :UInt16, lastPort :UInt16) -> (authority :TcpConnectAuthority);
  # Begins a connection and gives it once it is there. The window is the client's own memory, as with `listen`.
  # Refuses: `notGranted`, `unreachable` (there is no way there), `connectionRefused`, `timedOut` after `timeoutNs`, at most two
  # minutes, and as `TcpListenAuthority.listen`.
  connect @2 (window :Process.MemoryObject, address :Data, port :UInt16, timeoutNs :UInt64) -> (socket :TcpSocket);
}

# A connection. When its last handle goes it ends as TCP says: with a FIN behind what was sent, or with a RST where bytes were
# left unread. Both directions are counted in bytes from 0 on, so that whatever call is made again, or given up on the way,
# nothing is lost and nothing doubled.
interface TcpSocket @0xd1c0a5e5b0a70f08 {
  info @0 () -> (localAddress :Data, localPort :UInt16, remoteAddress :Data, remotePort :UInt16, state :State) $Stub.idempotent;
  # Writes up to `length` bytes, from byte number `position` on, to `offset` in the window, as soon as there is one; what came
  # before is given up. 0 bytes: the other end sends no more.
  # Refuses: `zeroLength`, `outOfRange` (window, or a position that was given up or not reached), `connectionReset`,
  # `cancelled` (another call waits now).
  receive @1 (position :UInt64, offset :UInt32, length :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  # Takes bytes from `offset` in the window on; the first of them is byte number `position`. Completes as soon as there is room
  # for one and says how many were taken; those that were taken before count again.
  # Refuses: `zeroLength`, `outOfRange` (window, or a position beyond what was taken), `connectionReset`, `wrongState` (after
  # `shutdown`), `cancelled` (another call waits now).
  send @2 (position :UInt64, offset :UInt32, length :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  # Says that nothing more is sent; receiving goes on.
  shutdown @3 () -> () $Stub.idempotent;
  # Cuts the connection off.
  abort @4 () -> () $Stub.idempotent;
  # `peerDone`: the other end sends no more; `done`: this end does not; `broken`: it was cut off.
  enum State { connecting @0; open @1; peerDone @2; done @3; closed @4; broken @5; }
}

# The right to take datagrams at some ports, and to answer who sends some.
interface UdpBindAuthority @0xd1c0a5e5b0a70f09 {
  # What it covers, both ports included.
  info @0 () -> (address :Data, firstPort :UInt16, lastPort :UInt16) $Stub.idempotent;
  # Refuses: as `TcpListenAuthority.narrow`.
  narrow @1 (address :Data, firstPort :UInt16, lastPort :UInt16) -> (authority :UdpBindAuthority);
  # Takes datagrams to a port at a local address, which must be given.
  # Refuses: as `TcpListenAuthority.listen`.
  bind @2 (window :Process.MemoryObject, address :Data, port :UInt16) -> (socket :UdpSocket);
}

# The right to exchange datagrams with some addresses and ports.
interface UdpConnectAuthority @0xd1c0a5e5b0a70f0a {
  # What it covers, both ports included.
  info @0 () -> (address :Data, prefixBits :UInt8, firstPort :UInt16, lastPort :UInt16) $Stub.idempotent;
  # Refuses: as `TcpListenAuthority.narrow`.
  narrow @1 (address :Data, prefixBits :UInt8, firstPort :UInt16, lastPort :UInt16) -> (authority :UdpConnectAuthority);
  # A port of its own, from which datagrams go to one end and are taken from there alone.
  # Refuses: as `TcpConnectAuthority.connect`, which waits for nobody here.
  connect @2 (window :Process.MemoryObject, address :Data, port :UInt16) -> (socket :UdpSocket);
}

# Datagrams, each of at most 1472 bytes.
interface UdpSocket @0xd1c0a5e5b0a70f0b {
  info @0 () -> (localAddress :Data, localPort :UInt16, remoteAddress :Data, remotePort :UInt16) $Stub.idempotent;
  # Sends bytes of the window. Without an address to the one remote end; with one to that end, or to one of the last sixteen that
  # sent something here.
  # Refuses: `notGranted` (anybody else), `queueFull`, `outOfRange` (window, length), `malformedAddress`.
  send @1 (address :Data, port :UInt16, offset :UInt32, length :UInt32) -> ();
  # Writes datagram number `number` to `offset` in the window as soon as it is there, cut off at `length`; `bytes` is its whole
  # length. They are counted from 0 on; those before it are given up.
  # Refuses: `outOfRange` (window, or a number that was given up or is not next), `cancelled` (another call waits now).
  receive @2 (number :UInt64, offset :UInt32, length :UInt32) -> (bytes :UInt32, address :Data, port :UInt16) $Stub.idempotent;
}

# The right to see what passes the interface, whoever it is from and for: every client's traffic, up to so many bytes of each frame.
interface PacketTrace @0xd1c0a5e5b0a70f0d {
  # So many bytes of a frame may be seen: 54 are the heads of TCP over IPv4, 1514 everything.
  info @0 () -> (snapBytes :UInt16) $Stub.idempotent;
  # Copies what passes from now on into a ring of so many bytes, 4 KiB to 1 MiB, of the stack's own; the window is the client's memory.
  # One at a time. It ends with the last handle. The log tells of both.
  # Refuses: `notGranted` (more of a frame than may be seen), `busy`, `outOfRange` (ring, window: 2 KiB at least; under 14 bytes of
  # a frame), and as `TcpListenAuthority.listen`.
  open @1 (window :Process.MemoryObject, snapBytes :UInt16, ringBytes :UInt32) -> (capture :PacketCapture);
}

# What passed, as records of a pcap file, with nanoseconds of the monotonic clock.
interface PacketCapture @0xd1c0a5e5b0a70f0e {
  # What such a file begins with.
  head @0 () -> (head :Data) $Stub.idempotent;
  # Writes the records from number `from` on to the window, as many as there are and as fit whole, 64 KiB at most; they are counted from 0
  # on. `dropped` of those that were asked for are gone, because the ring has a bound. It does not wait.
  read @1 (from :UInt64) -> (bytes :UInt32, next :UInt64, dropped :UInt64) $Stub.idempotent;
}

# Names to addresses, by asking the name servers that the network named.
interface DnsResolver @0xd1c0a5e5b0a70f0c {
  # Gives the addresses of a name: letters, digits, hyphens, underscores, points; IPv6 before IPv4. Answers are kept for as long as they
  # say, at most an hour, and that there is none for a minute.
  # Refuses: `notFound` (there is no such name, or it has no such address), `badArgument` (it is no name), `unreachable` (no name
  # server is known), `timedOut` after `timeoutNs`, at most 30 seconds, `failed` (the servers do not want to), `busy` where
  # eight names are being asked for.
  lookup @0 (name :Text, families :Families, timeoutNs :UInt64) -> (list :List(Found)) $Stub.idempotent;
  # Forgets what was kept, and says how many answers that were.
  flush @1 () -> (count :UInt32) $Stub.idempotent;
  enum Families { any @0; ipv4 @1; ipv6 @2; }
  struct Found { address @0 :Data; }
}

# People who come over the network, one after the other, each with a console of their own.
interface ConsoleListener @0xd1c0a5e5b0a70f10 {
  # Waits for the next person who may come in.
  # Refuses: `cancelled` (as many others wait now as can be served at once).
  accept @0 () -> (console :PersonConsole);
}

# The console of one person. With its last handle they are sent away.
interface PersonConsole @0xd1c0a5e5b0a70f11 {
  # Takes bytes for their screen, at most 1024, and says how many it took; it waits while there is room for none.
  # Refuses: `stale` when they have gone, `zeroLength`, `outOfRange` over 1024 bytes, `cancelled` (another call waits to write now).
  write @0 (bytes :Data) -> (written :UInt32);
  # Gives up to 24 bytes that they typed, packed little-endian into `a`, `b`, `c`. It waits for one until `untilNs`, and gives none when that
  # time has come.
  # Refuses: `stale` when they have gone and all was read, `cancelled` (another call waits to read now).
  read @1 (untilNs :UInt64) -> (count :UInt8, a :UInt64, b :UInt64, c :UInt64);
}

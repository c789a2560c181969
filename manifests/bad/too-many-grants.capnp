@0xd1c0a5e5b0a7201f;
# One grant more than travel with one message.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [
      (name = "g0", kernel = logSink),
      (name = "g1", kernel = logSink),
      (name = "g2", kernel = logSink),
      (name = "g3", kernel = logSink),
      (name = "g4", kernel = logSink),
      (name = "g5", kernel = logSink),
      (name = "g6", kernel = logSink),
      (name = "g7", kernel = logSink),
      (name = "g8", kernel = logSink),
      (name = "g9", kernel = logSink),
      (name = "g10", kernel = logSink),
      (name = "g11", kernel = logSink),
      (name = "g12", kernel = logSink),
      (name = "g13", kernel = logSink),
      (name = "g14", kernel = logSink),
      (name = "g15", kernel = logSink),
      (name = "g16", kernel = logSink),
      (name = "g17", kernel = logSink),
      (name = "g18", kernel = logSink),
      (name = "g19", kernel = logSink),
      (name = "g20", kernel = logSink),
      (name = "g21", kernel = logSink),
      (name = "g22", kernel = logSink),
      (name = "g23", kernel = logSink),
      (name = "g24", kernel = logSink),
      (name = "g25", kernel = logSink),
      (name = "g26", kernel = logSink),
      (name = "g27", kernel = logSink),
      (name = "g28", kernel = logSink),
      (name = "g29", kernel = logSink),
      (name = "g30", kernel = logSink),
      (name = "g31", kernel = logSink),
      (name = "g32", kernel = logSink),
    ]),
  ],
);

@0xd1c0a5e5b0a72022;
# More than 64 KiB, by naming one list of texts again and again.

using M = import "../../schema/manifest.capnp";

const text :Text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const texts :List(Text) = [.text, .text, .text, .text, .text, .text, .text, .text, .text, .text, .text, .text, .text, .text, .text, .text];

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
    (name = "a", binary = "a", arguments = .texts),
  ],
);

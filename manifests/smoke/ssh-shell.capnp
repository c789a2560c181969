@0xd1c0a5e5b0a72fa1;
# A server of SSH, two shells for those who come by it, and one on the serial line.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-ssh-shell",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nic", binary = "virtio-net-provider", priority = 24, restart = always,
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-net", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = always,
      arguments = ["status", "tcp-listen ports=22 sockets=16"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "listen", interface = "TcpListenAuthority"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    # Whoever has the key of the smoke may come in.
    ( name = "ssh-server", binary = "ssh-server", priority = 20, restart = always,
      arguments = ["port=22", "key=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"],
      exports = [(name = "people", interface = "ConsoleListener")],
      grants = [
        (endpoint = void),
        (export = (service = "netstack", export = "listen")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    # Each serves one person at a time, who can do what is granted here.
    ( name = "remote0", binary = "shell", priority = 16, restart = always,
      grants = [
        (name = "people", export = (service = "ssh-server", export = "people")),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
      ] ),
    ( name = "remote1", binary = "shell", priority = 16, restart = always,
      grants = [
        (name = "people", export = (service = "ssh-server", export = "people")),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
      ] ),
  ],
);

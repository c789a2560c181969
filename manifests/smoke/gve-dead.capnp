@0xd1c0a5e5b0a72133;
# A gVNIC that never comes up or never stops, the network stack that wants it, and a shell that has nothing to do with it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-gve-dead",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nic", binary = "gve-provider", priority = 24, restart = onFailure,
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        (device = (driver = "gve", nth = 0, optional = true)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = never,
      arguments = ["status"],
      exports = [(name = "status", interface = "NetworkManager")],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemControl),
      ] ),
  ],
);

@0xd1c0a5e5b0a71a30;
# The system of the smoke `hog-ended`: the diagnostics console, and a service that keeps every processor busy at the highest
# priority.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-hog",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "diagnostics", binary = "diagnostics", priority = 16, restart = always,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
      ] ),
    ( name = "hog", binary = "smoke-hog", priority = 31,
      grants = [
        (kernel = timer),
        (kernel = console),
        (kernel = systemInfo),
      ] ),
  ],
);

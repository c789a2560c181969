@0xd1c0a5e5b0a711b8;
# The system of the smoke `account-end`: init and the one program that asks. It has not twice what one of its children gets, and of
# endpoints and facets what is needed and no more.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-account-end",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-account-end", priority = 16,
      limits = (memoryPages = 16384, handles = 4096, threads = 32, endpoints = 28, facets = 49),
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
        (name = "deviceRegistry", kernel = deviceRegistry),
      ] ),
  ],
);

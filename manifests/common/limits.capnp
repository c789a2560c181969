@0xd1c0a5e5b0a71f02;
# What services may use that are more than one program.

using M = import "../../schema/manifest.capnp";

# One that starts processes: each gets its limits out of these.
const spawner :M.Limits = (memoryPages = 16384, handles = 16384, threads = 256, endpoints = 1024, facets = 65536);

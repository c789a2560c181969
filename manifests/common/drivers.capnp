@0xd1c0a5e5b0a71f01;
# The brokers linked into the kernel, once for every manifest: the boot stops if the kernel's table differs.

const linked :List(Text) = ["edu", "gve", "nvme", "virtio-blk", "virtio-net", "virtio-rng"];

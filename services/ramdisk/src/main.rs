//! RAM disk. It never persists.
#![no_std]
#![no_main]
use sdk::*;
use sdk::block::{block_device, block_session};
use sdk::alloc::vec::Vec;
static IMAGE: &[u8] = include_bytes!("/tmp/services/disk.img");
sdk::entry!(main);
struct S { endpoint: Endpoint, vm: VirtualMemory, windows: Vec<Window> }
fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut s = S { endpoint: env.get("endpoint")?, vm: env.get("vm")?, windows: Vec::new() };
    Err(Error::Refused(serve(Interface::object(&endpoint), &mut s)))
}
impl Service for S {
    fn call(&mut self, r: Received<'_>, c: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        if c.cookie() == 0 { block_device::dispatch(self, r, c) } else { block_session::dispatch(self, r, c) }
    }
}
impl<'c> block_device::Server<Call<'c>> for S {
    fn info(&mut self, reply: Reply<Call<'c>, block_device::call::Info>) -> Answered {
        reply.send(block_device::InfoReply { block_bytes: 512, blocks: IMAGE.len() as u64 / 512, read_only: true, max_transfer_bytes: 131072 })
    }
    fn open(&mut self, reply: Reply<Call<'c>, block_device::call::Open>, window_bytes: u32) -> Answered {
        let r = (|| {
            let m = self.vm.create_memory(window_bytes as u64)?.memory;
            let give = CapArg::copy(m.object().handle());
            let w = Window::map(m, window_bytes as u64, Access::ReadWrite)?;
            self.windows.push(w);
            let f = self.endpoint.mint(self.windows.len() as u64, block_session::INTERFACE_ID, false)?.facet;
            Ok(block_device::OpenReply { session: f.into_cap(), window: give, window_bytes })
        })();
        reply.answer(r)
    }
    fn model(&mut self, reply: Reply<Call<'c>, block_device::call::Model>) -> Answered {
        reply.send(block_device::ModelReply { model: "RAM disk", serial: "1", firmware: "", address: 0 })
    }
}
impl<'c> block_session::Server<Call<'c>> for S {
    fn read(&mut self, reply: Reply<Call<'c>, block_session::call::Read>, block: u64, blocks: u32, window_offset: u32) -> Answered {
        let r = (|| {
            let w = self.windows.get(reply.cookie() as usize - 1).ok_or(Refusal::Stale)?;
            let b = (block * 512) as usize;
            let src = IMAGE.get(b..b + blocks as usize * 512).ok_or(Refusal::OutOfRange)?;
            w.write(window_offset as u64, src)?;
            Ok(block_session::ReadReply { bytes: blocks * 512 })
        })();
        reply.answer(r)
    }
    fn write(&mut self, reply: Reply<Call<'c>, block_session::call::Write>, _: u64, _: u32, _: u32) -> Answered { reply.refuse(Refusal::ReadOnly) }
    fn flush(&mut self, reply: Reply<Call<'c>, block_session::call::Flush>) -> Answered { reply.send(()) }
}

//! The kernel, as the device manager sees it: memory, registers, vectors, timers, facts.

use core::fmt;

use ::memory::Writes;
use device_manager::{Access, Layout, Line, Message, Platform, Raiser};
use dma_ledger::OwnerId;
use driver_core::{Addressing, Ports, Registers};
use stub::Refusal;
use units::Bdf;

use super::reach::Reached;
use super::run::{Run, Window};
use super::vectors::{retire_vector, take_vector};
use super::{interrupts, manager};
use crate::log::state;

/// The kernel, as the device manager sees it.
#[derive(Debug)]
pub struct Kernel;

impl Platform for Kernel {
    type Frames = Run;
    type Mapping = Window;
    type Reach = Reached;

    fn allocate(&self, pages: u32, layout: Layout) -> Result<Run, Refusal> {
        #[cfg(sabotage)]
        let _nobody = sabotage::sabotage!(DMA_FOR_NOTHING).then(frames::paid_by_nobody);
        match layout {
            Layout::Scattered => Run::scattered(pages),
            Layout::Contiguous => Run::contiguous(pages),
        }
    }

    fn allocate_own(&self, pages: u32) -> Result<Run, Refusal> {
        #[cfg(sabotage)]
        let _nobody = sabotage::sabotage!(DMA_FOR_NOTHING).then(frames::paid_by_nobody);
        Run::own(pages)
    }

    fn reach(
        &self,
        function: Bdf,
        claim: (OwnerId, u64),
        addressing: Addressing,
    ) -> Result<Reached, Refusal> {
        crate::iommu::reach(function, claim, addressing)
    }

    fn keep_from_processes(&self, run: &Run) {
        run.keep_from_processes();
    }

    fn scrub(&self, run: &mut Run, from: usize) -> Option<usize> {
        run.scrub(from)
    }

    fn free(&self, run: Run) -> Option<Run> {
        run.free_some()
    }

    fn look(&self) {
        let _ = sched::point();
    }

    #[cfg(sabotage)]
    fn alias(&self, run: &Run) -> Option<Run> {
        run.alias()
    }

    fn registers(&self, physical: u64, bytes: u64) -> Option<Registers> {
        let base = paging::map_device(physical, bytes).ok()?;
        // SAFETY: mapped uncached, for good, for this many bytes.
        Some(unsafe { Registers::new(base, usize::try_from(bytes).ok()?) })
    }

    fn ports(&self, first: u16, bytes: u16) -> Option<Ports> {
        // SAFETY: the manager asks for the ports of an assigned BAR of a claimed function alone, and turns their decoding off
        // when the claim ends.
        unsafe { Ports::new(first, bytes) }
    }

    fn share(&self, run: &Run, access: Access) -> Option<Window> {
        run.share(match access {
            Access::Read => Writes::Never,
            Access::ReadWrite => Writes::Allowed,
        })
    }

    fn share_registers(&self, physical: u64, pages: u32) -> Option<Window> {
        Window::over_registers(physical, pages)
    }

    fn allocate_vector(&self, cpu: Option<u16>) -> Result<Message, Refusal> {
        take_vector(cpu)
    }

    fn admit(&self, raiser: Raiser, message: Message) -> Result<Message, Refusal> {
        interrupts::admit(raiser, message)
    }

    fn redirect(&self, from: &mut Message, to: Message) -> Result<Message, Refusal> {
        interrupts::redirect(from, to)
    }

    fn retire_vector(&self, message: &Message) {
        retire_vector(message);
    }

    fn line_of(&self, function: Bdf, pin: u8) -> Option<Line> {
        crate::lines::of_pin(function, pin)
    }

    fn hold_line(&self, gsi: u32) -> bool {
        crate::lines::hold(gsi)
    }

    fn route_line(&self, line: &Line, message: &Message) -> bool {
        crate::lines::route(line, message)
    }

    fn mask_line(&self, gsi: u32) {
        crate::lines::mask(gsi);
    }

    fn unmask_line(&self, gsi: u32) {
        crate::lines::unmask(gsi);
    }

    fn arm_line(&self, line: u32, at_ns: u64) {
        sched::callback_at(
            at_ns,
            |line| manager().poll_line(line as u32),
            u64::from(line),
        );
    }

    fn now_ns(&self) -> u64 {
        sched::now_ns()
    }

    fn arm(&self, function: u32, at_ns: u64) {
        sched::callback_at(
            at_ns,
            |function| manager().poll(function as u32),
            u64::from(function),
        );
    }

    fn evidence(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        crate::log::evidence(write);
    }

    fn fact(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        state(write);
    }

    fn audit(&self, event: audit_format::Event) {
        crate::audit::record(event);
    }
}

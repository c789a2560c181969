//! The diagnostics console: what a person at COM1 gets when nothing else works, with no disk and no network.
//!
//! Owns the words and tables for the records that the kernel gives. With an endpoint it serves [`ConsoleSession`] and
//! takes the line when somebody asks for it; without one it has the line from its start. Invariant: it never changes
//! anything but the end of the machine and, where it was given `ProcessControl`, of a process, never writes more than a
//! page, and no input ends it.
//!
//! [`ConsoleSession`]: sdk::ConsoleSession
//!
//! Facts: `diagnostics.command` for each line that was understood, after the topic's own fact.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod audit;
mod charges;
mod claims;
mod console;
mod firmware;
mod held;
mod machine;
mod output;
mod processes;

use sdk::{
    Answered, Call, Endpoint, Env, Error, Interface, Received, Reply, Service,
    diagnostics::console_session,
};

use console::{Console, Ending, Line};

sdk::entry!(main);

struct Served<'a> {
    console: Console<'a>,
}

fn main(env: &Env) -> Result<(), Error> {
    let mut console = Console::new(env)?;
    let Ok(endpoint) = env.get::<Endpoint>("endpoint") else {
        return match console.run(Line::Own) {
            Ending::Exit => Ok(()),
            Ending::Lost(refusal) => Err(refusal.into()),
        };
    };
    let over = sdk::serve(Interface::object(&endpoint), &mut Served { console });
    Err(over.into())
}

impl Service for Served<'_> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        console_session::dispatch(self, received, call)
    }
}

impl<'c> console_session::Server<Call<'c>> for Served<'_> {
    fn run(&mut self, reply: Reply<Call<'c>, console_session::call::Run>) -> Answered {
        match self.console.run(Line::Lent) {
            Ending::Exit => reply.send(()),
            Ending::Lost(refusal) => reply.refuse(refusal),
        }
    }
}

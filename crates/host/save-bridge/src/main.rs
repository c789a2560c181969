//! `save-bridge CONFIG`: serves saving over HTTP, with a provider behind it. It never serves one that the canary refuses.
#![forbid(unsafe_code)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use save_bridge::config::Config;

#[derive(Parser)]
#[command(about = "Serves saving over HTTP, with a provider's store behind it")]
struct Args {
    /// The configuration
    config: PathBuf,
    /// Make sure of the provider and end
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let config = Config::read(&args.config)?;
    let bridge = config.bridge()?;
    if args.check {
        eprintln!("the provider keeps its conditions");
        return Ok(());
    }
    let address = match std::env::var("PORT") {
        Ok(port) => format!("0.0.0.0:{port}"),
        Err(_) => config.listen,
    };
    let listener = TcpListener::bind(&address).with_context(|| address.clone())?;
    eprintln!("listening at {}", listener.local_addr()?);
    Arc::new(bridge).listen(&listener);
    Ok(())
}

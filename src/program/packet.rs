//! The pcap expression.

use crate::plan::Plan;
use crate::plan::kernel::Spot;
use crate::program::locate::Packet;
use crate::program::read::View;
use asm::{Asm, Label};

pub fn wanted(_plan: &Plan) -> Vec<Spot> {
    Vec::new()
}

pub fn test(_a: &mut Asm, _plan: &Plan, _view: &View, _packet: Packet, _drop: Label) -> Result<(), asm::Error> {
    Ok(())
}

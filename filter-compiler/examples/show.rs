//! Prints the stages of one expression: `show EN10MB|RAW EXPRESSION`.

use filter_compiler::names::System;
use filter_compiler::{LinkType, compile, compile_unoptimised, parse, to_cbpf};

fn main() {
    let mut args = std::env::args().skip(1);
    let link = if args.next().as_deref() == Some("RAW") { LinkType::Raw } else { LinkType::En10Mb };
    let text = args.collect::<Vec<_>>().join(" ");
    let names = System::new();
    let show = || {
        println!("--- ast\n{}", parse(&text)?);
        println!("--- lower\n{}", compile_unoptimised(&text, link, &names)?);
        let graph = compile(&text, link, &names)?;
        println!("--- optimise\n{graph}--- cbpf\n{}", to_cbpf(&graph)?);
        Ok(())
    };
    let result: Result<(), filter_compiler::Error> = show();
    if let Err(error) = result {
        eprintln!("{}", error.render());
        std::process::exit(2);
    }
}

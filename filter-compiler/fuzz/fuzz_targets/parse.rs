//! Any text: tokens, tree and their printed forms, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = format!("{:?}", filter_compiler::lexer::lex(text));
    match filter_compiler::parse(text) {
        Ok(ast) => drop(ast.to_string()),
        Err(error) => drop(error.render()),
    }
});

//! Writes a module and the JavaScript that calls it: `podfence-bindgen MODULE DIRECTORY`.

use std::env;
use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, directory] = arguments.as_slice() else { return Err("expected MODULE DIRECTORY".into()) };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true)?.typescript(true).out_name("podfence");
    // A panic leaves a module that cannot be called again: a new one takes its place.
    bindgen.reset_state_function(true);
    bindgen.remove_name_section(true).remove_producers_section(true).omit_default_module_path(true);
    Ok(bindgen.generate(directory)?)
}

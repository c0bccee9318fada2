//! `podfence-link IN OUT`: what `make modules` does after wasm-opt; see [`podfence_link`].
#![forbid(unsafe_code)]

use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: podfence-link IN OUT");
        return ExitCode::from(2);
    };
    let linked = fs::read(input)
        .map_err(|error| error.to_string())
        .and_then(|module| podfence_link::copy_data_in_calls(&module).map_err(|error| error.to_string()));
    match linked {
        Ok(module) => match fs::write(output, module) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(output, &error.to_string()),
        },
        Err(error) => fail(input, &error),
    }
}

fn fail(file: &str, error: &str) -> ExitCode {
    eprintln!("{file}: {error}");
    ExitCode::FAILURE
}

//! WASI preview1 for modules that import it: output goes nowhere, and there are no arguments,
//! environment, files or sockets. Time and randomness are counters, so that two runs are alike.
//!
//! `wasmtime-wasi` would bring the component model, an async runtime and eighty-three more crates
//! to deny the same things, and its real clock and randomness would make fuel vary.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use crate::wapc::{CallError, Guest, State};

const MODULE: &str = "wasi_snapshot_preview1";

const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const NOT_SUPPORTED: i32 = 52;

/// One reading of the clock is this much later than the one before.
const NANOSECONDS_PER_TICK: u64 = 1_000_000;

/// The functions that answer "not supported", with their parameters: `i` is i32, `I` is i64.
const DENIED: [(&str, &str); 34] = [
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_denied(linker)?;
    link_environment(linker)?;
    link_descriptors(linker)?;
    link_clock_and_random(linker)?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(CallError::Exit(code)))
    })?;
    Ok(())
}

fn link_denied(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for (name, parameters) in DENIED {
        let parameters = parameters.chars().map(|letter| match letter {
            'I' => ValType::I64,
            _ => ValType::I32,
        });
        let ty = FuncType::new(linker.engine(), parameters, [ValType::I32]);
        linker.func_new(MODULE, name, ty, |_caller, _parameters, results| {
            results[0] = Val::I32(NOT_SUPPORTED);
            Ok(())
        })?;
    }
    Ok(())
}

/// No arguments and no variables: a count and a size of zero, then nothing to copy.
fn link_environment(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for (sizes, get) in [("args_sizes_get", "args_get"), ("environ_sizes_get", "environ_get")] {
        linker.func_wrap(MODULE, sizes, move |mut caller: Caller<'_, State>, count: i32, size: i32| {
            let mut guest = Guest::of(&mut caller, sizes)?;
            guest.write(count, &[0; 4])?;
            guest.write(size, &[0; 4])?;
            wasmtime::Result::Ok(SUCCESS)
        })?;
        linker.func_wrap(MODULE, get, |_pointers: i32, _text: i32| SUCCESS)?;
    }
    Ok(())
}

/// Standard input, output and error exist and swallow what is written.
fn link_descriptors(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, State>, descriptor: i32, vectors: i32, count: i32, written: i32| {
            if !(1..=2).contains(&descriptor) {
                return wasmtime::Result::Ok(BAD_DESCRIPTOR);
            }
            let mut guest = Guest::of(&mut caller, "fd_write")?;
            let total = total_length(guest.read(vectors, count.saturating_mul(8))?);
            guest.write(written, &total.to_le_bytes())?;
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut caller: Caller<'_, State>, descriptor: i32, status: i32| {
        if !(0..=2).contains(&descriptor) {
            return wasmtime::Result::Ok(BAD_DESCRIPTOR);
        }
        let mut character_device = [0; 24];
        character_device[0] = 2;
        Guest::of(&mut caller, "fd_fdstat_get")?.write(status, &character_device)?;
        Ok(SUCCESS)
    })?;
    // "Bad descriptor" is how a guest learns that no directory is open.
    linker.func_wrap(MODULE, "fd_prestat_get", |_descriptor: i32, _out: i32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |_descriptor: i32, _path: i32, _length: i32| BAD_DESCRIPTOR)?;
    Ok(())
}

/// The sum of the lengths in a list of (address, length) pairs.
fn total_length(vectors: &[u8]) -> u32 {
    vectors
        .chunks_exact(8)
        .map(|vector| u32::from_le_bytes([vector[4], vector[5], vector[6], vector[7]]))
        .fold(0, u32::saturating_add)
}

fn link_clock_and_random(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "clock_res_get", |mut caller: Caller<'_, State>, _clock: i32, resolution: i32| {
        let mut guest = Guest::of(&mut caller, "clock_res_get")?;
        guest.write(resolution, &NANOSECONDS_PER_TICK.to_le_bytes())?;
        wasmtime::Result::Ok(SUCCESS)
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, State>, _clock: i32, _precision: i64, time: i32| {
            let mut guest = Guest::of(&mut caller, "clock_time_get")?;
            guest.state.wasi_ticks += 1;
            let now = guest.state.wasi_ticks.wrapping_mul(NANOSECONDS_PER_TICK);
            guest.write(time, &now.to_le_bytes())?;
            wasmtime::Result::Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, State>, buffer: i32, length: i32| {
        let mut guest = Guest::of(&mut caller, "random_get")?;
        guest.state.wasi_ticks += 1;
        let seed = guest.state.wasi_ticks as u8;
        let length = guest.read(buffer, length)?.len();
        let bytes: Vec<u8> = (0..length).map(|index| (index as u8).wrapping_mul(151).wrapping_add(seed)).collect();
        guest.write(buffer, &bytes)?;
        wasmtime::Result::Ok(SUCCESS)
    })?;
    Ok(())
}

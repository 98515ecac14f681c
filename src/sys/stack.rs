//! What the standard library asks about stacks, answered without the C library where that is linked statically.

/// Does not tell where the stack of a thread lies.
///
/// The standard library asks for the stack of each thread, so that it can tell an overflow from another bad access; told
/// nothing, it lets both end the process by the signal. The C library finds the answer in /proc/self/maps with scanf,
/// standard streams and locales, 0.1 MB that nothing else uses.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
// SAFETY: it has the name and type of the C library's function and fails as that may; it touches nothing.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_: libc::pthread_t, _: *mut libc::pthread_attr_t) -> libc::c_int {
    libc::ENOSYS
}

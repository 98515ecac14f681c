//! Makes a failing input smaller while it keeps failing.

/// Removes items, first in large runs and then one by one, as long as `fails` still holds for the rest.
pub fn fewer<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut run = items.len().div_ceil(2);
    while run > 0 {
        let mut at = 0;
        while at < items.len() {
            let end = (at + run).min(items.len());
            let rest = [&items[..at], &items[end..]].concat();
            if !rest.is_empty() && fails(&rest) {
                items = rest;
            } else {
                at += run;
            }
        }
        run = if run == 1 { 0 } else { run.div_ceil(2) };
    }
    items
}

/// Sets bytes to 0 as long as `fails` still holds: what remains is what matters.
pub fn zeroes(mut bytes: Vec<u8>, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    for at in 0..bytes.len() {
        let old = std::mem::replace(&mut bytes[at], 0);
        if old != 0 && !fails(&bytes) {
            bytes[at] = old;
        }
    }
    bytes
}

//! Any bytes as a capture file: packets or an error, and never more bytes of packets than the file has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whither::filter_command::capture::Reader;

fuzz_target!(|file: &[u8]| {
    let Ok(mut reader) = Reader::new(file) else { return };
    let mut read = 0;
    while let Ok(Some(packet)) = reader.next() {
        read += packet.data.len();
        assert!(read <= file.len());
    }
});

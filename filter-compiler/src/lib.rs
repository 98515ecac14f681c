//! pcap-filter(7) expressions to classic BPF and eBPF.

pub mod cbpf;

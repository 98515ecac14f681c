//! The lines that a tracer prints with pwru's default columns.

use crate::error::{Error, Result};

/// One event: SKB CPU PROCESS NETNS MARK/x IFACE PROTO MTU LEN TUPLE FUNC, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Line {
    pub skb: String,
    pub cpu: u32,
    pub process: String,
    pub netns: u32,
    pub mark: u32,
    pub interface: String,
    pub protocol: u16,
    pub mtu: u32,
    pub length: u32,
    /// `SOURCE:PORT->DESTINATION:PORT(PROTOCOL)`.
    pub tuple: String,
    /// With a drop reason in parentheses where there is one.
    pub function: String,
    /// The whole line.
    pub text: String,
}

impl Line {
    /// Reads one line; `None` for the header, an error for what is neither.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text.starts_with("SKB ") {
            return Ok(None);
        }
        let broken = |what: &str| Error::new(format!("the line has no {what}: {text:?}"));
        let mut words = text.split_whitespace();
        let mut word = |what| words.next().ok_or_else(|| broken(what)).map(str::to_owned);
        let skb = word("SKB")?;
        if !skb.starts_with("0x") {
            return Err(broken("SKB"));
        }
        let line = Self {
            skb,
            cpu: word("CPU")?.parse()?,
            process: word("PROCESS")?,
            netns: word("NETNS")?.parse()?,
            mark: u32::from_str_radix(&word("MARK")?, 16)?,
            interface: word("IFACE")?,
            protocol: u16::from_str_radix(word("PROTO")?.trim_start_matches("0x"), 16)?,
            mtu: word("MTU")?.parse()?,
            length: word("LEN")?.parse()?,
            tuple: word("TUPLE")?,
            function: words.collect::<Vec<_>>().join(" "),
            text: text.to_owned(),
        };
        if line.function.is_empty() { Err(broken("FUNC")) } else { Ok(Some(line)) }
    }

    /// The function without a drop reason, and without the module that it is in.
    pub fn name(&self) -> &str {
        self.function.split(['(', '[', ' ']).next().unwrap_or_default()
    }

    /// The number of the interface, with or without a name in front of it.
    pub fn ifindex(&self) -> Option<u32> {
        self.interface.rsplit(':').next()?.parse().ok()
    }

    /// Whether the first word of `pattern` is the function, and the line contains every other word.
    pub fn matches(&self, pattern: &str) -> bool {
        let mut words = pattern.split_whitespace();
        words.next().is_some_and(|function| function == self.name() || function == self.function)
            && words.all(|word| self.text.contains(word))
    }
}

/// Reads everything that was printed.
pub fn parse(text: &str) -> Result<Vec<Line>> {
    text.lines().filter_map(|line| Line::parse(line).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Line, parse};

    const TEXT: &str = "\
SKB                CPU PROCESS          NETNS      MARK/x        IFACE       PROTO  MTU   LEN   TUPLE FUNC
0xff43d67464d37ae8 1   ~sr/bin/curl:932 4026532157 a0              0         0x0800 1500  60    10.0.1.2:48066->10.0.0.2:80(tcp) nf_hook_slow
0xff16b9da839dbee8 0   ksoftirqd/0:14   4026532155 0             eth0:2      0x0800 65536 60    10.0.0.1:58552->10.0.0.2:81(tcp) sk_skb_reason_drop(SKB_DROP_REASON_NETFILTER_DROP)
";

    #[test]
    fn columns_are_found() {
        let lines = parse(TEXT).unwrap();
        assert_eq!((lines[0].cpu, lines[0].netns, lines[0].mark, lines[0].protocol), (1, 4_026_532_157, 0xa0, 0x800));
        assert_eq!((lines[0].ifindex(), lines[1].ifindex()), (Some(0), Some(2)));
        assert_eq!(lines[1].name(), "sk_skb_reason_drop");
        assert!(lines[1].matches("sk_skb_reason_drop(SKB_DROP_REASON_NETFILTER_DROP) ->10.0.0.2:81"));
        assert!(!lines[0].matches("nf_hook_slow 10.0.0.2:81"));
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        assert!(Line::parse("nonsense").is_err());
        assert!(Line::parse("0xff43d67464d37ae8 1 x:1 4026532157 0 0 0x0800 1500 60 a->b").is_err());
    }
}

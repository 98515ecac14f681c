//! A file of lines that grows is put aside, compressed, and thrown away when there are too many or they are too old.

use std::fs;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("mkdir -p /tmp/kept && touch /tmp/kept/trace-2020-01-01T00-00-00.000.log")?;
    let trace = vm.trace(
        "--output-file /tmp/kept/trace.log --output-file-max-size 1 --output-file-max-backups 1 --output-file-max-age 1 \
         --output-file-compress --filter-func 'ip_.*|udp_.*' udp dst port 5001",
    )?;
    // Until it was put aside twice.
    let limit = Instant::now() + Duration::from_secs(240);
    while !aside()?.iter().any(|name| name.ends_with(".gz")) {
        ensure!(Instant::now() < limit, "nothing is compressed: {:?}", aside()?);
        net.udp("10.0.0.2:5001", 32, 300)?;
    }
    let first = aside()?;
    while aside()? == first {
        ensure!(Instant::now() < limit, "it is not put aside again: {:?}", aside()?);
        net.udp("10.0.0.2:5001", 32, 300)?;
    }
    let ended = trace.stop()?;
    ensure!(ended.lost() == 0, "lines were lost\n{ended}");
    let kept = aside()?;
    ensure!(kept.len() == 1 && kept[0].ends_with(".log.gz"), "one is to be kept, compressed: {kept:?}");
    let text = vm.sh(&format!("gzip -dc /tmp/kept/{}", kept[0]))?;
    ensure!(text.len() <= 1 << 20 && text.len() > 1 << 19, "{} bytes in it", text.len());
    ensure!(text.lines().all(|line| line.starts_with("0x") || line.starts_with("SKB")), "lines are whole");
    Ok(())
}

/// The files that were put aside.
fn aside() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/tmp/kept")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "trace.log" && !name.ends_with(".tmp") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

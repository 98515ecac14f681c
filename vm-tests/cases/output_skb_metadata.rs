//! `--output-skb-metadata` shows members of the skb and of what it points to, each by its type, in text and in JSON.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case::new(run);

const VALUES: &str = "skb->protocol,skb->dev->ifindex,skb->dev->name,skb->len + 1,\
    ((struct iphdr *)(skb->head + skb->network_header))->daddr,skb->pkt_type,skb->dev->dev_addr,skb->sk->__sk_common.skc_family";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let index: u32 = net.right.sh("cat /sys/class/net/right0/ifindex || ip -o link show right0 | cut -d: -f1")?.trim().parse()?;
    let link = net.right.sh("ip -o link show right0")?;
    let mac = link.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).ok_or("no address")?.to_owned();
    let backends: &[_] = if vm.has(Feature::Fentry)? { &["kprobe", "fentry"] } else { &["kprobe"] };
    for backend in backends {
        let start = |flags: &str| {
            vm.trace(&format!("--backend {backend} --filter-func ip_rcv {flags} --output-skb-metadata '{VALUES}' udp dst port 5001"))
        };
        let (text, json) = (start("")?, start("--output-json")?);
        net.udp("10.0.0.2:5001", 10, 1)?;
        let (text, json) = (text.stop()?, json.stop()?);
        let wanted = format!(
            "ip_rcv protocol=0x0800 ifindex={index} name=right0 skb->len + 1=39 daddr=10.0.0.2 pkt_type=0 dev_addr={mac} skc_family="
        );
        let line = text.lines()?.first().ok_or("no line")?.text.clone();
        ensure!(line.contains(&wanted), "{backend}: {line}\nhas not\n{wanted}");
        let event: serde_json::Value = serde_json::from_str(json.stdout.lines().next().ok_or("no line")?)?;
        let values = &event["metadata"];
        ensure!(values["ifindex"] == index && values["skb->len + 1"] == 39 && values["pkt_type"] == 0, "{event}");
        ensure!(values["name"] == "right0" && values["daddr"] == "10.0.0.2" && values["dev_addr"] == mac.as_str(), "{event}");
        ensure!(values["protocol"] == "0x0800" && values.get("skc_family").is_some(), "{event}");
    }
    Ok(())
}
